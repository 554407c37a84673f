//! Starting threads: pthreads(7), by the standard library.

use std::io;
use std::thread;

/// The stack of a thread that needs no other. It takes memory as far as it is used.
pub const STACK_SIZE: usize = 2 * 1024 * 1024;

/// Starts a thread that is called `name` and has a stack of so many bytes.
///
/// # Errors
/// `pthread_create(3)`: there are too many threads, or there is no memory for one.
pub fn start_thread(
    name: &str,
    stack_size: usize,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    start_boxed(name, stack_size, Box::new(work))
}

/// One for all: what the standard library makes of each kind of closure is a kilobyte of the binary.
fn start_boxed(name: &str, stack_size: usize, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.stack_size(stack_size).spawn(work)?;
    Ok(())
}
