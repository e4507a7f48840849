//! The store of a running broker: opened with a word to the log about what was found, and looked after while it runs.

use std::io::ErrorKind;
use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mynah_net::{Keeping, Recovered, Storage};
use mynah_store::{Fatal, Finding, Store, StoreError, StoreOptions};

use crate::complaint::Complaint;
use crate::config::StoreSettings;

/// How often the log says how far reading has come.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Opens the store and reads what is in it; with it comes what was found to be damaged. `seed` is that of a broker that is new. `waiting` says for each listener of
/// the engine, by name, whether what is promised there waits for the store; behind them are so many `bridges`.
pub(crate) fn open(
    settings: &StoreSettings,
    seed: u64,
    waiting: &[(&str, bool)],
    bridges: usize,
) -> Result<(Storage, Vec<String>), Complaint> {
    let StoreSettings { folder, free_bytes_min, .. } = settings;
    let options = StoreOptions { free_bytes_min: *free_bytes_min, ..StoreOptions::new(folder) };
    let shown = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    tracing::info!(folder = %shown.display(), durability = settings.keeping_name(), "opening the store");
    let begun = Instant::now();
    let mut told = begun;
    let progress = |of, done, all| {
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            tracing::info!(done, all, of, "reading the store");
        }
    };
    let opened = Storage::open(options, settings.keeping, seed, progress);
    let (mut storage, report) = opened.map_err(|error| failed(&shown, &error))?;
    report.findings.iter().for_each(|finding| tell(folder, finding));
    let found = report.findings.iter().map(ToString::to_string).collect();
    if report.left_out > 0 {
        tracing::error!(findings = report.left_out, "the store: there is more than is told one by one");
    }
    let Recovered { sessions, messages, values } = storage.recovered();
    tracing::info!(sessions, messages, values, took = ?begun.elapsed(), "the store is open");
    if let Keeping::Interval(interval) = settings.keeping {
        tracing::warn!(?interval, "what was acknowledged within this time may be lost with the machine");
    }
    let bridges = iter::repeat_n(("bridges", settings.bridges_wait), bridges);
    for ((listener, _), at) in
        waiting.iter().copied().chain(bridges).zip(0..).filter(|((_, waits), _)| !waits)
    {
        if settings.keeping == Keeping::Sync {
            tracing::warn!(listener, "what was acknowledged there a moment ago may be lost with the machine");
        }
        storage.answer_at_once(at);
    }
    Ok((storage, found))
}

/// Why a store cannot be used, and what to do.
pub(crate) fn failed(folder: &Path, error: &StoreError) -> Complaint {
    let advice = match error {
        StoreError::Disk(error) => match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
                " (name a folder that this user can write to as `path` under [store])"
            }
            _ => "",
        },
        _ => "",
    };
    Complaint::Other(format!("the store in {}: {error}{advice}", folder.display()))
}

/// Says what was found, and where.
fn tell(folder: &Path, finding: &Finding) {
    let (file, offset) = finding
        .place()
        .map_or((None, None), |(file, offset)| (Some(folder.join(file).display().to_string()), Some(offset)));
    if finding.is_loss() {
        tracing::error!(file, offset, "the store: {finding}");
    } else {
        tracing::warn!(file, offset, "the store: {finding}");
    }
}

/// The store as it is looked after while the broker runs.
pub(crate) struct Watched {
    store: Arc<Store>,
    settings: StoreSettings,
    was_full: bool,
    /// What was found before anybody looked.
    found: Vec<String>,
}

/// What has happened to the store.
pub(crate) enum News {
    /// Something was found to be damaged.
    Damage(String),
    /// There is too little room on the disk.
    Full,
    /// There is room again.
    Room,
}

impl Watched {
    pub(crate) const fn new(store: Arc<Store>, settings: StoreSettings, found: Vec<String>) -> Self {
        Self { store, settings, was_full: false, found }
    }

    pub(crate) const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Tells the log what has happened since the last call, and returns it.
    pub(crate) fn look(&mut self) -> Vec<News> {
        let mut news: Vec<_> = self.found.drain(..).map(News::Damage).collect();
        let findings = self.store.take_findings();
        findings.iter().for_each(|finding| tell(&self.settings.folder, finding));
        let status = self.store.status();
        let full = status.is_low_on_space;
        if full != self.was_full {
            let (free, wanted) = (status.free_bytes, self.settings.free_bytes_min);
            if full {
                tracing::error!(
                    free,
                    wanted,
                    "too little room on the disk: what has to be stored is refused"
                );
            } else {
                tracing::info!(free, wanted, "there is room on the disk again");
            }
            self.was_full = full;
            news.push(if full { News::Full } else { News::Room });
        }
        news.extend(findings.iter().map(|finding| News::Damage(finding.to_string())));
        news
    }

    /// Why nothing can be stored any more, if that is so.
    pub(crate) fn fatal(&self) -> Option<Complaint> {
        self.store.fatal().map(|fatal| last_word(&self.settings.folder, &fatal))
    }

    /// Closes the store, which nobody else has any more.
    pub(crate) fn close(self) -> Result<(), Complaint> {
        let Self { store, settings, .. } = self;
        match Arc::into_inner(store).map(Store::close) {
            Some(Err(fatal)) => Err(last_word(&settings.folder, &fatal)),
            // Whoever still has it closes it.
            Some(Ok(())) | None => Ok(()),
        }
    }
}

fn last_word(folder: &Path, fatal: &Fatal) -> Complaint {
    Complaint::Other(format!(
        "the store in {} has failed: {fatal}. See that the disk is sound (`dmesg`, `mynah store verify`), and start again",
        folder.display()
    ))
}
