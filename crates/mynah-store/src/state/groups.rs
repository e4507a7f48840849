//! Keys whose last bytes are a number, in groups: those with 64 numbers that follow each other stand under one key. Numbers are
//! given in order and mostly go in order, so groups mostly come and go whole, and a long queue is a few keys.

use core::ops::ControlFlow;

use super::{Change, StateError, Visit};
use crate::record::fields::Fields;
use crate::record::key::tag;

/// Keys in a group.
const GROUP: usize = 64;

/// The part of a key's last byte that says which of its group it is.
const INDEX: u8 = GROUP as u8 - 1;

/// The key of the group that a key is in: the first key that can be in it.
pub(super) fn group_of(key: &[u8]) -> Vec<u8> {
    let mut group = key.to_vec();
    if let Some(last) = group.last_mut() {
        *last &= !INDEX;
    }
    group
}

fn index_of(key: &[u8]) -> u8 {
    key.last().map_or(0, |last| last & INDEX)
}

/// The first group that can have keys from `from` on.
pub(super) fn first_group(from: &[u8]) -> Vec<u8> {
    match key_bytes(from).and_then(|bytes| from.get(..bytes)) {
        Some(key) => group_of(key),
        None => from.to_vec(),
    }
}

/// Bytes of a key that starts like this one, if that can be seen.
fn key_bytes(start: &[u8]) -> Option<usize> {
    match *start.first()? {
        tag::PAYLOAD => Some(9),
        // Tag, tenant, shard and kind, the length of the name, the name, the number.
        _ => Some(16 + usize::from(u16::from_be_bytes(*start.get(6..)?.first_chunk()?))),
    }
}

fn damaged() -> StateError {
    StateError("the state is damaged: a group of keys cannot be read".to_owned())
}

/// What is in a group: which key it is of, and its value.
fn members(group: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), StateError>> {
    let mut fields = Fields(group);
    core::iter::from_fn(move || {
        if fields.is_empty() {
            return None;
        }
        let member = fields.u8().zip(fields.u32()).and_then(|(index, length)| {
            Some((index, fields.bytes(usize::try_from(length).ok()?)?)).filter(|(index, _)| *index <= INDEX)
        });
        if member.is_none() {
            fields.rest();
        }
        Some(member.ok_or_else(damaged))
    })
}

/// The value of a key, from its group.
pub(super) fn find<'g>(group: &'g [u8], key: &[u8]) -> Result<Option<&'g [u8]>, StateError> {
    for member in members(group) {
        let (index, value) = member?;
        if index == index_of(key) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Visits the keys of a group from `from` on to the one before `to`.
pub(super) fn scan(
    group_key: &[u8],
    group: &[u8],
    (from, to): (&[u8], &[u8]),
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, StateError> {
    let mut key = group_key.to_vec();
    for member in members(group) {
        let (index, value) = member?;
        if let Some(last) = key.last_mut() {
            *last = *last & !INDEX | index;
        }
        if (from..to).contains(&&key[..]) && visit(&key, value).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Puts changes into an order in which each group's follow each other, those of one key as they came.
pub(super) fn order(changes: &mut [Change]) {
    changes.sort_by(|(one, _), (other, _)| one.cmp(other));
}

/// Changes in order, cut into those of one group each.
pub(super) fn by_group(changes: &[Change]) -> impl Iterator<Item = &[Change]> {
    changes.chunk_by(|(one, _), (other, _)| {
        let (Some((a, one)), Some((b, other))) = (one.split_last(), other.split_last()) else { return false };
        one == other && a & !INDEX == b & !INDEX
    })
}

/// What a group holds after changes of it, in order; none if that is nothing. `old` is asked for what it held unless every
/// key of it changes.
pub(super) fn changed<B: AsRef<[u8]>>(
    changes: &[Change],
    old: impl FnOnce() -> Result<Option<B>, StateError>,
) -> Result<Option<Vec<u8>>, StateError> {
    let mut values: [Option<Option<&[u8]>>; GROUP] = [None; GROUP];
    for (key, value) in changes {
        values[usize::from(index_of(key))] = Some(value.as_deref());
    }
    let old = if values.iter().all(Option::is_some) { None } else { old()? };
    for member in old.iter().flat_map(|old| members(old.as_ref())) {
        let (index, value) = member?;
        values[usize::from(index)].get_or_insert(Some(value));
    }
    let values = || (0u8..).zip(values).filter_map(|(index, value)| Some((index, value.flatten()?)));
    let mut group = Vec::with_capacity(values().map(|(_, value)| 5 + value.len()).sum());
    for (index, value) in values() {
        group.push(index);
        group.extend_from_slice(&(value.len() as u32).to_le_bytes());
        group.extend_from_slice(value);
    }
    Ok(Some(group).filter(|group| !group.is_empty()))
}
