//! Whole files, translated.

use std::path::Path;

use super::lines::{parse, sorted};
use super::notes::Note;

fn conf(text: &str) -> (super::lines::Conf, Vec<Note>) {
    let mut notes = Vec::new();
    (sorted(parse(Path::new("m.conf"), text), &mut notes), notes)
}
