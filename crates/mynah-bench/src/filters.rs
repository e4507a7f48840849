//! A topic index as a fleet of devices makes it: an exact filter for each device, and one with a wildcard for every
//! tenth.

use mynah_core::{SessionRef, TopicIndex, WorkerId};
use mynah_model::{Class, Filter, SubscriptionOptions, TenantId};

/// How the filters of the fleet are subscribed to.
pub const OPTIONS: SubscriptionOptions = SubscriptionOptions::new(Class::AtMostOnce);

/// The topic of a device, which matches its filter and no other.
#[must_use]
pub fn topic(number: u32) -> String {
    format!("tenant{}/devices/dev-{number:08}/telemetry/temperature", number % 100)
}

/// The filter of a device; with a wildcard if its number is a multiple of ten.
#[must_use]
pub fn filter(number: u32) -> String {
    let exact = topic(number);
    if number.is_multiple_of(10) { exact.replace("telemetry", "+") } else { exact }
}

/// The session of a device.
#[must_use]
pub fn session(number: u32) -> SessionRef {
    SessionRef { worker: WorkerId(0), slot: number, generation: 0 }
}

/// An index of the filters of the first `count` devices.
#[must_use]
pub fn index(count: u32) -> TopicIndex {
    let mut index = TopicIndex::new(7);
    for number in 0..count {
        let text = filter(number);
        index.insert(TenantId::DEFAULT, Filter::from_checked(text.as_bytes()), session(number), OPTIONS);
    }
    index
}
