//! `uninstall`: what `install` has made, and nothing else. What is not there is no error, so that it
//! works on half of an installation.

use super::tree::Tree;
use super::{CONFIG, Error, PROGRAM, account, init, step};
use crate::config::Uninstall;

/// Removes the service, its configuration, its user and the program.
///
/// # Errors
/// What could not be removed. What comes before that is gone; a second run removes the rest.
pub fn uninstall(wanted: &Uninstall) -> Result<(), Error> {
    let tree = Tree::new(wanted.root.clone());
    init::disable(&tree);
    init::remove(&tree)?;
    if wanted.keep_config {
        step(format_args!("left: {CONFIG}"));
    } else if tree.has(CONFIG) && !tree.is_marked(CONFIG) {
        step(format_args!("left: {CONFIG}, which install did not write"));
    } else {
        tree.remove(CONFIG)?;
    }
    account::remove_made(&tree)?;
    tree.remove(PROGRAM)
}
