//! A hierarchical timer wheel: arming, cancelling and firing cost the same for ten timers and ten million.

use std::num::NonZeroU32;

use mynah_model::Instant;

const LEVELS: usize = 5;
const SLOTS: usize = 64;
const SLOT_BITS: u32 = 6;
/// A tick is 1,024 microseconds.
const TICK_BITS: u32 = 10;
/// Half of what the levels span: about six days.
const HORIZON: u64 = 1 << (SLOT_BITS * LEVELS as u32 - 1);
const NONE: u32 = u32::MAX;

/// Names an armed timer until it fires or is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

impl From<TimerKey> for NonZeroU32 {
    fn from(TimerKey(place): TimerKey) -> Self {
        Self::MIN.saturating_add(place)
    }
}

impl From<NonZeroU32> for TimerKey {
    fn from(number: NonZeroU32) -> Self {
        Self(number.get() - 1)
    }
}

/// Timers with a payload each, in slots of 64 ticks, 64 x 64 ticks and so on. A timer never fires early; it fires at
/// the first [`TimerWheel::expire`] after its tick has begun.
pub(crate) struct TimerWheel<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    levels: [Level; LEVELS],
    /// Ticks that have been worked off.
    elapsed: u64,
}

struct Entry<T> {
    tick: u64,
    previous: u32,
    next: u32,
    level: u8,
    slot: u8,
    payload: Option<T>,
}

struct Level {
    occupied: u64,
    heads: [u32; SLOTS],
}

impl<T: Copy> TimerWheel<T> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            entries: Vec::new(),
            free: NONE,
            levels: core::array::from_fn(|_| Level { occupied: 0, heads: [NONE; SLOTS] }),
            elapsed: now.as_micros() >> TICK_BITS,
        }
    }

    /// Arms a timer that fires at `deadline` or up to one tick later.
    pub(crate) fn arm(&mut self, deadline: Instant, payload: T) -> TimerKey {
        let tick = (deadline.as_micros() >> TICK_BITS) + 1;
        let key = self.allocate(tick.max(self.elapsed + 1), payload);
        self.link(key);
        TimerKey(key)
    }

    /// Disarms a timer that has not fired.
    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.unlink(key.0);
        self.release(key.0);
    }

    /// When the next timer may fire; to be asked again then, since a far timer is only known by its slot.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_slot().map(|(_, _, tick)| Instant::from_micros(tick << TICK_BITS))
    }

    /// Moves the wheel to `now` and collects the payloads of the timers that are due, in order of their ticks.
    pub(crate) fn expire(&mut self, now: Instant, due: &mut Vec<T>) {
        let target = now.as_micros() >> TICK_BITS;
        while let Some((level, slot, tick)) = self.next_slot() {
            if tick > target {
                break;
            }
            self.elapsed = tick;
            let mut key = core::mem::replace(&mut self.levels[level].heads[slot], NONE);
            self.levels[level].occupied &= !(1 << slot);
            while key != NONE {
                let entry = &self.entries[key as usize];
                let next = entry.next;
                if entry.tick <= tick {
                    due.extend(entry.payload);
                    self.release(key);
                } else {
                    self.link(key);
                }
                key = next;
            }
        }
        self.elapsed = self.elapsed.max(target);
    }

    /// The first occupied slot after the elapsed ticks: its level, its place and the tick at which it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        self.levels.iter().enumerate().find(|(_, l)| l.occupied != 0).map(|(number, level)| {
            let shift = SLOT_BITS * number as u32;
            let current = (self.elapsed >> shift) & (SLOTS as u64 - 1);
            let ahead = level.occupied.rotate_right(current as u32).trailing_zeros();
            let slot = (current + u64::from(ahead)) % SLOTS as u64;
            let range = 1u64 << (shift + SLOT_BITS);
            let start = self.elapsed & !(range - 1);
            let tick = start + (slot << shift);
            (number, slot as usize, if tick < self.elapsed { tick + range } else { tick })
        })
    }

    fn link(&mut self, key: u32) {
        // A timer beyond the wheel waits half a turn away and is linked again from there.
        let tick = self.entries[key as usize].tick.min(self.elapsed + HORIZON);
        let differing = (self.elapsed ^ tick) | (SLOTS as u64 - 1);
        let level = ((63 - differing.leading_zeros()) / SLOT_BITS).min(LEVELS as u32 - 1);
        let slot = (tick >> (SLOT_BITS * level)) & (SLOTS as u64 - 1);
        let head = &mut self.levels[level as usize].heads[slot as usize];
        let next = core::mem::replace(head, key);
        self.levels[level as usize].occupied |= 1 << slot;
        if next != NONE {
            self.entries[next as usize].previous = key;
        }
        let entry = &mut self.entries[key as usize];
        (entry.previous, entry.next, entry.level, entry.slot) = (NONE, next, level as u8, slot as u8);
    }

    fn unlink(&mut self, key: u32) {
        let entry = &self.entries[key as usize];
        let (previous, next, level, slot) = (entry.previous, entry.next, entry.level, entry.slot);
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous != NONE {
            self.entries[previous as usize].next = next;
            return;
        }
        let level = &mut self.levels[usize::from(level)];
        level.heads[usize::from(slot)] = next;
        if next == NONE {
            level.occupied &= !(1 << slot);
        }
    }

    fn allocate(&mut self, tick: u64, payload: T) -> u32 {
        let entry = Entry { tick, previous: NONE, next: NONE, level: 0, slot: 0, payload: Some(payload) };
        if self.free == NONE {
            self.entries.push(entry);
            return self.entries.len() as u32 - 1;
        }
        let key = self.free;
        self.free = self.entries[key as usize].next;
        self.entries[key as usize] = entry;
        key
    }

    fn release(&mut self, key: u32) {
        let entry = &mut self.entries[key as usize];
        entry.payload = None;
        entry.next = core::mem::replace(&mut self.free, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn a_cancelled_timer_stays_silent_and_its_place_is_used_again() {
        let mut wheel = TimerWheel::new(at(0));
        let a = wheel.arm(at(50), 'a');
        wheel.arm(at(50), 'b');
        wheel.cancel(a);
        wheel.arm(at(60), 'c');
        assert_eq!(wheel.entries.len(), 2);
        let mut due = Vec::new();
        wheel.expire(at(100), &mut due);
        assert_eq!(due, ['b', 'c']);
        assert_eq!(wheel.next_deadline(), None);
    }

    proptest! {
        /// Whatever is armed and cancelled, what fires is what a sorted list would fire: never early, at most one
        /// tick and the distance between two looks late.
        #[test]
        fn the_wheel_fires_what_a_sorted_list_fires(
            steps in prop::collection::vec((0u64..400_000_000, any::<bool>(), 1u64..90_000_000), 1..60)
        ) {
            let mut now = at(1_000);
            let mut wheel = TimerWheel::new(now);
            let mut model: Vec<(Instant, usize, TimerKey)> = Vec::new();
            for (number, (delay, cancel, advance)) in steps.into_iter().enumerate() {
                let deadline = Instant::from_micros(now.as_micros() + delay);
                model.push((deadline, number, wheel.arm(deadline, number)));
                if cancel && number % 3 == 0 {
                    let (_, _, key) = model.swap_remove(number % model.len());
                    wheel.cancel(key);
                }
                now = Instant::from_micros(now.as_micros() + advance);
                let mut due = Vec::new();
                wheel.expire(now, &mut due);
                for number in &due {
                    let place = model.iter().position(|(_, n, _)| n == number).unwrap();
                    let (deadline, ..) = model.swap_remove(place);
                    prop_assert!(deadline <= now);
                }
                for (deadline, ..) in &model {
                    prop_assert!(deadline.as_micros() + 2_048 > now.as_micros());
                }
                if let Some(next) = wheel.next_deadline() {
                    let earliest = model.iter().map(|m| m.0).min().unwrap();
                    prop_assert!(next.as_micros() <= earliest.as_micros() + 2_048);
                }
            }
        }
    }
}
