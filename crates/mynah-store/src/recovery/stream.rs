//! Hands everything that is live to whoever starts, as it is read.

use core::ops::{ControlFlow, Range};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::Take;
use crate::disk::{DiskFile, read_full};
use crate::error::StoreError;
use crate::live::{Digest, Live, PayloadPlace, unseal};
use crate::record::frame::{self, Frame};
use crate::record::item::payload_in;
use crate::record::key::{payload_of, tag};
use crate::record::message::payload_id;
use crate::record::{Key, StoredMessage, Value};
use crate::report::{Finding, Report};
use crate::segment::Segments;
use crate::state::StateError;

/// Something that is live. Messages come first, then what refers to them: settings, sessions and queues,
/// subscriptions, received identifiers, wills, leases, entries in the order of each queue, retained values, delayed
/// messages, bridges.
#[derive(Clone, Copy, Debug)]
pub enum Recovered<'r> {
    /// All that was handed over before is void: the state was found to be damaged, and is made anew.
    Restart,
    /// A message that something refers to.
    Payload(StoredMessage<'r>),
    /// A key with its value. The message that it refers to was handed over, or a restart follows.
    Item(Key<'r>, Value<'r>),
    /// How many of how many records are done.
    Progress(u64, u64),
    /// Before everything else: how many of how many bytes of the journal were read that the state does not know.
    Replayed(u64, u64),
}

/// Messages that are read in the order in which they stand in the journal, at a time.
const AT_ONCE: usize = 1 << 16;

const PROGRESS_EVERY: u64 = 1 << 16;

/// Whether everything was handed over, or the state does not hold what was written to it.
pub(crate) enum Streamed {
    Complete,
    Damaged(StateError),
}

/// Hands over everything that is live, which has to be in the state. Drops what nothing refers to, and what refers to
/// messages that cannot be read.
pub(crate) fn stream(
    live: &mut Live,
    segments: &Segments,
    report: &mut Report,
    take: Take<'_>,
) -> Result<Streamed, StoreError> {
    let mut pass = Pass {
        salt: live.salt(),
        reader: PayloadReader::new(segments, live.salt()),
        waiting: Vec::new(),
        gone: HashSet::new(),
        idle: Vec::new(),
        lost: Vec::new(),
        digest: Digest::default(),
        total: live.digest().count,
        outcome: Ok(()),
        take,
    };
    let scanned =
        live.state().scan(&[tag::PAYLOAD], &[tag::END], &mut |key, sealed| match pass.item(key, sealed) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                pass.outcome = Err(error);
                ControlFlow::Break(())
            }
        });
    let outcome = core::mem::replace(&mut pass.outcome, Ok(()));
    match scanned.map_err(StoreError::from).and(outcome).and_then(|()| pass.finish()) {
        Err(StoreError::State(error)) => return Ok(Streamed::Damaged(error)),
        outcome => outcome?,
    }
    if pass.digest != live.digest() {
        return Ok(Streamed::Damaged(incomplete()));
    }
    let (idle, gone, lost) = (pass.idle, pass.gone, pass.lost);
    for id in idle.into_iter().chain(gone) {
        live.drop_payload(id)?;
    }
    for key in lost {
        report.add(Finding::lost(&key));
        live.forget(&key)?;
    }
    live.flush_all()?;
    Ok(Streamed::Complete)
}

impl Live {
    /// Reads all of the state and every message in it, and changes nothing.
    pub(crate) fn check(&self, segments: &Segments, report: &mut Report) -> Result<(), StateError> {
        let mut check =
            Check { reader: PayloadReader::new(segments, self.salt()), gone: HashSet::new(), report };
        let (mut digest, mut fault) = (Digest::default(), None);
        self.state().scan(&[tag::PAYLOAD], &[tag::END], &mut |key, sealed| {
            let value = match unseal(self.salt(), key, sealed) {
                Ok(value) => value,
                Err(error) => {
                    fault = Some(error);
                    return ControlFlow::Break(());
                }
            };
            digest.add(crate::live::term_of(sealed).unwrap_or(0));
            check.item(key, value);
            ControlFlow::Continue(())
        })?;
        // Messages stand before what refers to them there, too.
        self.young().for_each(|(key, value)| check.item(key, value));
        match fault {
            Some(fault) => Err(fault),
            None if digest == self.digest() => Ok(()),
            None => Err(incomplete()),
        }
    }
}

/// Looks at items and the messages that they are about.
struct Check<'c> {
    reader: PayloadReader<'c>,
    /// Messages that cannot be read.
    gone: HashSet<u64>,
    report: &'c mut Report,
}

impl Check<'_> {
    fn item(&mut self, key: &[u8], value: &[u8]) {
        if let (Some(id), Some(place)) = (payload_of(key), PayloadPlace::decode(value)) {
            if !matches!(self.reader.read(place, id, |_| ()), Ok(Some(()))) {
                self.gone.insert(id);
            }
        } else if payload_in(key[0], value).is_some_and(|id| self.gone.contains(&id)) {
            self.report.add(Finding::lost(key));
        }
    }
}

fn incomplete() -> StateError {
    StateError("the state is damaged: it does not hold all that was written".to_owned())
}

struct Pass<'p, 't> {
    salt: u32,
    reader: PayloadReader<'p>,
    /// Messages that are still to be read.
    waiting: Vec<(PayloadPlace, u64)>,
    /// Messages that cannot be read.
    gone: HashSet<u64>,
    /// Messages that nothing refers to.
    idle: Vec<u64>,
    /// Keys that refer to messages that cannot be read.
    lost: Vec<Box<[u8]>>,
    digest: Digest,
    total: u64,
    outcome: Result<(), StoreError>,
    take: Take<'t>,
}

impl Pass<'_, '_> {
    fn item(&mut self, key: &[u8], sealed: &[u8]) -> Result<(), StoreError> {
        let value = unseal(self.salt, key, sealed)?;
        self.digest.add(crate::live::term_of(sealed).unwrap_or(0));
        if self.digest.count.is_multiple_of(PROGRESS_EVERY) {
            self.give(Recovered::Progress(self.digest.count, self.total))?;
        }
        if let Some(id) = payload_of(key) {
            let place = PayloadPlace::decode(value);
            let place = place.ok_or_else(|| StateError("a message's place is damaged".to_owned()))?;
            if place.refs == 0 {
                self.idle.push(id);
                return Ok(());
            }
            self.waiting.push((place, id));
            return if self.waiting.len() < AT_ONCE { Ok(()) } else { self.read_waiting() };
        }
        self.read_waiting()?;
        if payload_in(key[0], value).is_some_and(|id| self.gone.contains(&id)) {
            self.lost.push(key.into());
            return Ok(());
        }
        match (Key::decode(key), Value::decode(key[0], value)) {
            (Some(key), Some(value)) => self.give(Recovered::Item(key, value)),
            // Right by its checksum: a program that was wrong, or a later one.
            _ => {
                self.lost.push(key.into());
                Ok(())
            }
        }
    }

    fn give(&mut self, recovered: Recovered<'_>) -> Result<(), StoreError> {
        match (self.take)(recovered) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(StoreError::Stopped),
        }
    }

    fn read_waiting(&mut self) -> Result<(), StoreError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.sort_unstable_by_key(|(place, _)| place.at);
        self.reader.expect(waiting.iter().map(|(place, _)| *place));
        for &(place, id) in &waiting {
            let take = &mut self.take;
            let taken = self.reader.read(place, id, |message| take(Recovered::Payload(message)))?;
            match taken {
                Some(ControlFlow::Continue(())) => {}
                Some(ControlFlow::Break(())) => return Err(StoreError::Stopped),
                None => drop(self.gone.insert(id)),
            }
        }
        waiting.clear();
        self.waiting = waiting;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.read_waiting()?;
        self.give(Recovered::Progress(self.digest.count, self.total))
    }
}

/// Reads messages by their places. Quick where the places are in order.
pub(crate) struct PayloadReader<'s> {
    segments: &'s Segments,
    salt: u32,
    segment: u32,
    file: Option<Arc<dyn DiskFile>>,
    window: Vec<u8>,
    window_at: u64,
}

/// Bytes that are read at a time where messages stand close together.
const WINDOW: u64 = 256 << 10;

/// What lies closer to the message before is read with it in advance.
const CLOSE: u64 = 64 << 10;

/// What lies further from the message before is read by itself.
const NEAR: u64 = 16 << 10;

impl<'s> PayloadReader<'s> {
    pub(crate) fn new(segments: &'s Segments, salt: u32) -> Self {
        Self { segments, salt, segment: 0, file: None, window: Vec::new(), window_at: 0 }
    }

    /// Has the disk begin with messages that are read next. What lies close together is one read: mostly the messages of
    /// other queues, which are wanted soon as well.
    pub(crate) fn expect(&self, places: impl Iterator<Item = PayloadPlace>) {
        let mut run: Option<(u32, Range<u64>)> = None;
        for place in places {
            let (segment, range) = (place.at.segment, place.range());
            match &mut run {
                Some((number, run))
                    if *number == segment && (run.start..run.end + CLOSE).contains(&range.start) =>
                {
                    run.end = range.end.max(run.end);
                }
                _ => self.expect_run(run.replace((segment, range))),
            }
        }
        self.expect_run(run);
    }

    fn expect_run(&self, run: Option<(u32, Range<u64>)>) {
        if let Some((segment, range)) = run
            && let Some(file) = self.segments.get(segment)
        {
            file.expect(range.start, range.end);
        }
    }

    /// Hands the message `id` at `place` to `take`; `None` if it is not there, or not what was written.
    pub(crate) fn read<T>(
        &mut self,
        place: PayloadPlace,
        id: u64,
        take: impl FnOnce(StoredMessage<'_>) -> T,
    ) -> io::Result<Option<T>> {
        Ok(self.frame(place, id)?.and_then(message).map(take))
    }

    /// The frame with the message `id` at `place`; `None` if it is not there, or not what was written.
    pub(crate) fn frame(&mut self, place: PayloadPlace, id: u64) -> io::Result<Option<Frame<'_>>> {
        if self.file.is_none() || self.segment != place.at.segment {
            (self.segment, self.file) = (place.at.segment, self.segments.get(place.at.segment));
            self.window.clear();
            self.window_at = 0;
        }
        let Some(file) = self.file.clone() else { return Ok(None) };
        let range = place.range();
        let Some(inside) = self.fill(&*file, range)? else { return Ok(None) };
        let Ok((frame, _)) = frame::parse(&self.window[inside], self.salt) else { return Ok(None) };
        let sound = frame.kind.has_message() && payload_id(frame.body) == Some(id);
        Ok(sound.then_some(frame))
    }

    /// Has the window hold a range of the file. Returns where in the window.
    fn fill(&mut self, file: &dyn DiskFile, range: Range<u64>) -> io::Result<Option<Range<usize>>> {
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if range.start < held.start || range.end > held.end {
            let bytes = file.bytes()?;
            if range.end > bytes {
                return Ok(None);
            }
            let near = (held.start..held.end + NEAR).contains(&range.start);
            let end = if near { range.end.max(range.start + WINDOW) } else { range.end };
            self.window.resize((end.min(bytes) - range.start) as usize, 0);
            let count = read_full(file, &mut self.window, range.start)?;
            self.window.truncate(count);
            self.window_at = range.start;
            if (count as u64) < range.end - range.start {
                return Ok(None);
            }
        }
        let from = (range.start - self.window_at) as usize;
        Ok(Some(from..from + (range.end - range.start) as usize))
    }
}

/// The message in a frame.
fn message(frame: Frame<'_>) -> Option<StoredMessage<'_>> {
    StoredMessage::decode(frame.tenant, frame.message()?.0)
}
