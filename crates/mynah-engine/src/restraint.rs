//! Limits that rules set: how much a connection may publish, and how many connections an identity may have.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mynah_core::rules::{Meter, Quota};
use mynah_model::{Identity, Instant, Reason, TenantId};

/// What limits the publications of a connection.
pub(crate) struct Restraint {
    meter: Option<Meter>,
    message_bytes_max: u64,
}

impl Restraint {
    /// What a quota says of publications; nothing if it says nothing. What was measured so far still counts.
    pub(crate) fn new(quota: &Quota, earlier: Option<&Self>) -> Option<Self> {
        let earlier = earlier.and_then(|restraint| restraint.meter);
        let meter = Meter::new(quota).map(|meter| earlier.map_or(meter, |e| e.with_rates_of(meter)));
        let is_limited = meter.is_some() || quota.message_bytes.is_some();
        let message_bytes_max = quota.message_bytes.map_or(u64::MAX, core::num::NonZeroU64::get);
        is_limited.then_some(Self { meter, message_bytes_max })
    }

    /// The peer publishes a message with a payload of so many bytes. Returns until when it has to wait then.
    ///
    /// # Errors
    /// The message is larger than it may be.
    pub(crate) fn charge(&mut self, now: Instant, bytes: usize) -> Result<Option<Instant>, Reason> {
        if bytes as u64 > self.message_bytes_max {
            return Err(Reason::TooLarge);
        }
        Ok(self.meter.as_mut().and_then(|meter| meter.charge(now, bytes)))
    }

    /// The same for a peer that has a connection for each message: all that its identity publishes so counts together, and
    /// what is too much is refused.
    ///
    /// # Errors
    /// The message is larger than it may be, or comes too early.
    pub(crate) fn charge_one(
        &self,
        now: Instant,
        bytes: usize,
        identity: &Identity,
        pace: &Pace,
    ) -> Result<(), Reason> {
        if bytes as u64 > self.message_bytes_max {
            return Err(Reason::TooLarge);
        }
        self.meter.map_or(Ok(()), |meter| pace.charge(now, bytes, identity, meter))
    }
}

/// Identities whose meters are remembered before it is looked which of them are idle.
const METERS_MIN: usize = 1_024;

/// How much identities have published of late by connections that ended with it.
#[derive(Default)]
pub(crate) struct Pace(Mutex<Meters>);

#[derive(Default)]
struct Meters {
    by_member: BTreeMap<Member, Meter>,
    /// When there are so many, those that are idle are forgotten.
    sweep_at: usize,
}

impl Pace {
    fn charge(&self, now: Instant, bytes: usize, identity: &Identity, rates: Meter) -> Result<(), Reason> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if meters.by_member.len() >= meters.sweep_at.max(METERS_MIN) {
            meters.by_member.retain(|_, meter| !meter.is_idle(now));
            meters.sweep_at = 2 * meters.by_member.len();
        }
        let meter = meters.by_member.entry(member(identity)).or_insert(rates);
        *meter = meter.with_rates_of(rates);
        meter.try_charge(now, bytes).map_err(|_| Reason::RateExceeded)
    }
}

/// How many connections identities have, of those that may not have any number.
#[derive(Default)]
pub(crate) struct Crowd(Mutex<BTreeMap<Member, u32>>);

type Member = (TenantId, bool, Box<str>);

impl Crowd {
    /// An identity gets one more connection, if it then has not more than `max`. Returns whether it does.
    pub(crate) fn enter(&self, identity: &Identity, max: u32) -> bool {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = members.entry(member(identity)).or_default();
        let enters = *count < max;
        *count += u32::from(enters);
        if *count == 0 {
            members.remove(&member(identity));
        }
        enters
    }

    /// An identity has one connection less.
    pub(crate) fn leave(&self, identity: &Identity) {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = members.get_mut(&member(identity)) {
            *count -= 1;
            if *count == 0 {
                members.remove(&member(identity));
            }
        }
    }
}

fn member(identity: &Identity) -> Member {
    (identity.tenant(), identity.is_anonymous(), identity.name().into())
}
