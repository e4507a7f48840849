//! Moves corpora between the text files that are kept and the folders that libFuzzer works in.

use std::collections::BTreeSet;
use std::fs;
use std::io::Result;
use std::process::ExitCode;

use mynah_fuzz::seeds::Folders;
use mynah_fuzz::{Corpus, Input, TARGETS, Target};

const USAGE: &str = "usage: mynah-fuzz unpack|pack [TARGET]
  unpack  writes what is kept for a target, one file for each input, to fuzz/corpus/TARGET
  pack    makes fuzz/corpora/TARGET.hex of what is in fuzz/corpus/TARGET";

/// What is kept of one target: so many inputs, none larger.
const INPUTS_MAX: usize = 500;
const INPUT_BYTES_MAX: u64 = 512;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let run = match arguments.first().map(String::as_str) {
        Some("unpack") => unpack,
        Some("pack") => pack,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let wanted = |target: &&Target| arguments.get(1).is_none_or(|name| name == target.name);
    for target in TARGETS.iter().filter(wanted) {
        match run(&Folders::new(), target) {
            Ok(count) => println!("{}: {count} inputs", target.name),
            Err(error) => {
                eprintln!("{}: {error}", target.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn unpack(folders: &Folders, target: &Target) -> Result<usize> {
    let folder = folders.working_folder(target);
    fs::create_dir_all(&folder)?;
    let inputs = folders.inputs(target)?;
    for (at, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("kept-{at:04}")), input)?;
    }
    Ok(inputs.len())
}

fn pack(folders: &Folders, target: &Target) -> Result<usize> {
    // Seeds are inputs without being kept.
    let seeds: BTreeSet<Input> = folders.seeds(target)?.into_iter().collect();
    let mut corpus = Corpus::default();
    for entry in fs::read_dir(folders.working_folder(target))? {
        let entry = entry?;
        if entry.metadata()?.len() > INPUT_BYTES_MAX {
            continue;
        }
        let input = fs::read(entry.path())?;
        if !seeds.contains(&input) {
            corpus.insert(input);
        }
    }
    // Shorter inputs are read more easily, longer ones reach further: some of all lengths.
    let all: Vec<Vec<u8>> = corpus.inputs().cloned().collect();
    let mut kept = Corpus::default();
    for at in 0..INPUTS_MAX.min(all.len()) {
        kept.insert(all[at * all.len() / INPUTS_MAX.min(all.len())].clone());
    }
    let file = folders.corpus_file(target);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, kept.to_text())?;
    Ok(kept.inputs().count())
}
