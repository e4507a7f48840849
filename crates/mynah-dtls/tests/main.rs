//! Handshakes between the two halves, over a path that loses, repeats and reorders; and peers that do not keep the rules.

// A test stops at the first thing that is not as it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod handshakes;
mod hostile;
mod keeping;
mod path;
