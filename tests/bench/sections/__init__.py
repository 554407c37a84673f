"""What is measured, a file each: `measure(run)` prints its rows."""
