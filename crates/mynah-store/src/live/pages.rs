//! What is known of messages that the state does not know, by their names. Names are given one after the other: so they
//! stand in pages, and a message costs no look-up of its own.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::payloads::RecentPayload;

/// Names in a page.
const PAGE: usize = 32;

/// Pages that are kept to be used again.
const SPARE_MAX: usize = 1024;

/// Bytes of a page, about.
const PAGE_BYTES: usize = PAGE * size_of::<Option<RecentPayload>>() + 64;

#[derive(Debug, Default)]
struct Page {
    slots: [Option<RecentPayload>; PAGE],
    used: usize,
}

#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: HashMap<u64, Box<Page>, RandomState>,
    /// Pages with nothing in them. Boxed as they are in use: so none is copied.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Page>>,
    count: usize,
}

const fn split(id: u64) -> (u64, usize) {
    (id / PAGE as u64, (id % PAGE as u64) as usize)
}

impl Pages {
    /// Messages of which something is known.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes that all of it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.pages.len() * PAGE_BYTES
    }

    pub(super) fn get(&self, id: u64) -> Option<&RecentPayload> {
        let (page, slot) = split(id);
        self.pages.get(&page)?.slots[slot].as_ref()
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut RecentPayload> {
        let (page, slot) = split(id);
        self.pages.get_mut(&page)?.slots[slot].as_mut()
    }

    /// Notes what is known of a message.
    pub(super) fn insert(&mut self, id: u64, recent: RecentPayload) -> &mut RecentPayload {
        let (page, slot) = split(id);
        let spare = &mut self.spare;
        let page = self.pages.entry(page).or_insert_with(|| spare.pop().unwrap_or_default());
        let is_new = page.slots[slot].is_none();
        page.used += usize::from(is_new);
        self.count += usize::from(is_new);
        page.slots[slot].insert(recent)
    }

    pub(super) fn remove(&mut self, id: u64) {
        let (number, slot) = split(id);
        let Some(page) = self.pages.get_mut(&number) else { return };
        let was_there = page.slots[slot].take().is_some();
        page.used -= usize::from(was_there);
        self.count -= usize::from(was_there);
        if page.used == 0 {
            let page = self.pages.remove(&number);
            if self.spare.len() < SPARE_MAX {
                self.spare.extend(page);
            }
        }
    }

    /// What is known of messages with these names, in no order.
    pub(super) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &RecentPayload)> {
        self.pages.iter().flat_map(move |(number, page)| {
            let ids = (0..).map(move |slot| number * PAGE as u64 + slot);
            let known = ids.zip(&page.slots).filter_map(|(id, slot)| Some((id, slot.as_ref()?)));
            known.filter(move |(id, _)| (from..=to).contains(id))
        })
    }

    /// Hands everything over in the order of the names.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, RecentPayload)> + use<> {
        self.count = 0;
        let mut pages: Vec<_> = self.pages.drain().collect();
        pages.sort_unstable_by_key(|(number, _)| *number);
        pages.into_iter().flat_map(|(number, page)| {
            let ids = (0..).map(move |slot| number * PAGE as u64 + slot);
            ids.zip(page.slots).filter_map(|(id, slot)| Some((id, slot?)))
        })
    }
}
