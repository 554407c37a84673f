//! Registration with the master.
