//! `mynah store`: look at a store that no broker has open, check it, mend it, write it out and read it in.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use mynah_store::{Finding, Report, StoreError, StoreOptions, tools};

use crate::arguments::{Store, StoreFolder};
use crate::complaint::Complaint;
use crate::config;
use crate::storage;

/// Exit code when something is damaged or lost: what was asked for was done all the same.
const DAMAGED: u8 = 3;

/// Runs a command.
pub(crate) fn run(command: &Store) -> Result<ExitCode, Complaint> {
    match command {
        Store::Stat { folder } => stat(&there(folder)?),
        Store::Verify { folder } => verify(&there(folder)?),
        Store::Repair { folder } => repair(&there(folder)?),
        Store::Export { folder, output } => export(&there(folder)?, output.as_deref()),
        Store::Import { folder, input } => import(&named(folder)?, input.as_deref()),
    }
}

/// The folder that is meant: the one that was named, or that of the configuration.
fn named(folder: &StoreFolder) -> Result<PathBuf, Complaint> {
    if let Some(folder) = &folder.folder {
        return Ok(folder.clone());
    }
    let settings = config::load(folder.config.as_deref())?;
    let store = settings.store.map(|store| store.folder);
    store.ok_or_else(|| {
        Complaint::Other("this configuration keeps nothing on a disk; name a folder".to_owned())
    })
}

/// The same, if a store is there: none is made by looking for it.
fn there(folder: &StoreFolder) -> Result<PathBuf, Complaint> {
    let folder = named(folder)?;
    if has_store(&folder) {
        return Ok(folder);
    }
    Err(Complaint::Other(format!("there is no store in {}; name the folder of one", folder.display())))
}

fn has_store(folder: &Path) -> bool {
    fs::read_dir(folder.join("journal")).is_ok_and(|mut files| files.next().is_some())
}

fn stat(folder: &Path) -> Result<ExitCode, Complaint> {
    let bar = bar("reading");
    let read = tools::stat(StoreOptions::new(folder), |done, all| advance(&bar, done, all));
    bar.finish_and_clear();
    let (stat, report) = read.map_err(|error| storage::failed(folder, &error))?;
    let bytes: u64 = stat.segments.iter().map(|segment| segment.bytes).sum();
    let live: u64 = stat.segments.iter().map(|segment| segment.live_bytes).sum();
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "folder         {}", folder.display());
    let _ = writeln!(text, "segments       {}, {bytes} bytes, {live} of them live", stat.segments.len());
    for (kind, count) in &stat.records {
        let _ = writeln!(text, "{kind:<14} {count}");
    }
    print(&text)?;
    Ok(told(&report, Finding::is_loss))
}

fn verify(folder: &Path) -> Result<ExitCode, Complaint> {
    let bar = bar("checking");
    let checked = tools::verify(&StoreOptions::new(folder), |done, all| advance(&bar, done, all));
    bar.finish_and_clear();
    let report = checked.map_err(|error| storage::failed(folder, &error))?;
    // A torn tail is what any crash leaves: nobody was told of it. Damage with a copy was dealt with before.
    let is_new = |finding: &Finding| {
        !matches!(finding, Finding::TornTail { .. } | Finding::Damage { copy: Some(_), .. })
    };
    let code = told(&report, is_new);
    print(if code == ExitCode::SUCCESS { "sound\n" } else { "damaged\n" })?;
    Ok(code)
}

fn repair(folder: &Path) -> Result<ExitCode, Complaint> {
    let bar = bar("mending");
    let mended = tools::repair(StoreOptions::new(folder), |done, all| advance(&bar, done, all));
    bar.finish_and_clear();
    let report = mended.map_err(|error| storage::failed(folder, &error))?;
    let code = told(&report, Finding::is_loss);
    print(if code == ExitCode::SUCCESS { "nothing was lost\n" } else { "what is named above was lost\n" })?;
    Ok(code)
}

fn export(folder: &Path, output: Option<&Path>) -> Result<ExitCode, Complaint> {
    let bar = bar("writing");
    let write = |out: &mut dyn Write| {
        let written = tools::export(StoreOptions::new(folder), out, |done, all| advance(&bar, done, all));
        written.and_then(|report| Ok(out.flush().map(|()| report)?))
    };
    let written = match output {
        None => write(&mut BufWriter::new(io::stdout().lock())),
        Some(path) => {
            let created = OpenOptions::new().write(true).create_new(true).open(path);
            let file = created.map_err(|error| Complaint::File { path: path.to_owned(), error })?;
            write(&mut BufWriter::new(&file)).and_then(|report| Ok(file.sync_all().map(|()| report)?))
        }
    };
    bar.finish_and_clear();
    let report = written.map_err(|error| storage::failed(folder, &error))?;
    Ok(told(&report, Finding::is_loss))
}

fn import(folder: &Path, input: Option<&Path>) -> Result<ExitCode, Complaint> {
    if has_store(folder) {
        let folder = folder.display();
        return Err(Complaint::Other(format!("there is a store in {folder}; an import makes a new one")));
    }
    let bar = bar("reading");
    let read = |input: &mut dyn BufRead| tools::import(StoreOptions::new(folder), input, |_| ());
    let imported = match input {
        None => read(&mut io::stdin().lock()),
        Some(path) => {
            let failed = |error| Complaint::File { path: path.to_owned(), error };
            let file = File::open(path).map_err(failed)?;
            bar.set_length(file.metadata().map_err(failed)?.len());
            read(&mut BufReader::new(bar.wrap_read(file)))
        }
    };
    bar.finish_and_clear();
    let report = imported.map_err(|error| match error {
        StoreError::Import { .. } => Complaint::Other(format!(
            "this cannot be imported: {error}; remove {}, which has only a part of it",
            folder.display()
        )),
        error => storage::failed(folder, &error),
    })?;
    Ok(told(&report, Finding::is_loss))
}

/// A bar on standard error, if that is a terminal.
fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3}% {eta}");
    let bar = ProgressBar::new(0).with_message(what);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn advance(bar: &ProgressBar, done: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(done);
}

/// Says what was found, and returns the exit code: a failure if one of the findings `is_damage`.
fn told(report: &Report, is_damage: impl Fn(&Finding) -> bool) -> ExitCode {
    for finding in &report.findings {
        let place = finding.place().map(|(file, offset)| format!(" ({} at {offset})", file.display()));
        eprintln!("{finding}{}", place.unwrap_or_default());
    }
    if report.left_out > 0 {
        eprintln!("{} more findings", report.left_out);
    }
    if report.findings.iter().any(is_damage) || report.left_out > 0 {
        ExitCode::from(DAMAGED)
    } else {
        ExitCode::SUCCESS
    }
}

fn print(text: &str) -> Result<(), Complaint> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Complaint::System { what: "standard output cannot be written to", error })
}
