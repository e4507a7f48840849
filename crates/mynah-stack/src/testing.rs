//! A harness for stacks: virtual time, and links that split, delay and lose.
