//! Takes samples of the machine's metrics, as the agent's reporter does, for `scripts/bench` to weigh from outside.
//! Argument: how many, after a first one that sets up what the others keep.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;

use haven_agent::metrics::Collector;

fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = std::env::args()
        .nth(1)
        .ok_or("usage: bench-sample COUNT")?
        .parse()?;
    let mut collector = Collector::new(Path::new("/"));
    for _ in 0..=count {
        black_box(collector.sample());
    }
    Ok(())
}
