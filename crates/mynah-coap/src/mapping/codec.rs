//! Messages in the layouts of CoAP: how they are read, and encoded for observers.

use mynah_model::{Layout, MessageView, Properties};
use mynah_stack::{Frame, FrameKind, LayoutCodec};

use super::notification::NoteHead;
use super::{
    LAYOUT_ADDRESSED, LAYOUT_NATIVE, LAYOUT_NOTIFICATION, addressed, envelope, format_of, publication,
    seconds,
};

/// Reads [`LAYOUT_NATIVE`] and [`LAYOUT_ADDRESSED`], writes [`LAYOUT_NOTIFICATION`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CoapCodec;

impl LayoutCodec for CoapCodec {
    fn layouts(&self) -> &[Layout] {
        &[LAYOUT_NATIVE, LAYOUT_NOTIFICATION, LAYOUT_ADDRESSED]
    }

    fn properties<'m>(&self, message: MessageView<'m>) -> Properties<'m> {
        match message.header.layout {
            LAYOUT_NATIVE => publication::properties(message),
            LAYOUT_ADDRESSED => addressed::properties(message),
            _ => Properties::EMPTY,
        }
    }

    /// Nobody receives the others.
    fn encode(
        &self,
        message: MessageView<'_>,
        properties: &Properties<'_>,
        layout: Layout,
        kind: FrameKind,
        frame: &mut Frame,
    ) -> bool {
        if layout != LAYOUT_NOTIFICATION {
            return false;
        }
        let (format, media_type) = format_of(properties);
        let max_age = properties.remaining.map(seconds);
        let head = NoteHead { class: message.header.class, format, media_type, max_age };
        head.encode(&mut frame.head, |out| envelope::encode(message, properties, kind.retain, out));
        frame.payload(message.payload());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Kept;
    use crate::mapping::{NO_FORMAT, Note, Publication};
    use crate::wire::cbor::{Item, Reader};
    use crate::wire::{Code, OptionNumber, OptionWriter, Options};
    use alloc::vec;
    use alloc::vec::Vec;
    use core::time::Duration;
    use mynah_model::{Class, Instant};

    fn frame_of(payload: &[u8]) -> Frame {
        let mut bytes = Vec::new();
        let mut writer = OptionWriter::new(&mut bytes);
        writer.put_uint(OptionNumber::CONTENT_FORMAT, 50);
        writer.put(OptionNumber::URI_QUERY, b"k=v");
        let options = Options::decode(&bytes).unwrap().0;
        let publication =
            Publication::new(Code::PUT, (options, payload), b"a/b", (Instant::ZERO, true)).unwrap();
        let view = MessageView { header: &publication.header, native: &publication.native };
        let properties =
            Properties { remaining: Some(Duration::from_millis(1_500)), ..CoapCodec.properties(view) };
        let mut frame = Frame::default();
        let kind = FrameKind { identified: true, retain: true };
        assert!(CoapCodec.encode(view, &properties, LAYOUT_NOTIFICATION, kind, &mut frame));
        assert!(!CoapCodec.encode(view, &properties, LAYOUT_NATIVE, kind, &mut Frame::default()));
        if frame.wants_message() {
            frame.attach(&view.to_message());
        }
        frame
    }

    #[test]
    fn an_observer_gets_the_payload_or_the_whole_message() {
        for len in [0, 5, 3_000] {
            let payload = vec![7; len];
            let frame = frame_of(&payload);
            let kept = Kept::new(&frame, true, None);
            let note = Note::of_kept(&kept).unwrap();
            let format = if len == 0 { NO_FORMAT } else { 50 };
            assert_eq!((note.class, note.format, note.max_age), (Class::AtLeastOnce, format, Some(2)));
            assert_eq!(note.pieces(false).0.concat(), payload);
            assert_eq!(note.is_gone(), len == 0);
            assert_eq!(note.content(true).pieces().0.concat(), note.pieces(true).0.concat());
            let whole = note.pieces(true).0.concat();
            let mut reader = Reader::new(&whole);
            let Ok(Item::Map(pairs)) = reader.item() else { panic!("an envelope is a map") };
            let mut names = Vec::new();
            for _ in 0..pairs {
                let Ok(Item::Text(name)) = reader.item() else { panic!("names are texts") };
                names.push(name);
                match name {
                    "payload" => assert_eq!(reader.item(), Ok(Item::Bytes(&payload))),
                    "expiry_ms" => assert_eq!(reader.item(), Ok(Item::Uint(1_500))),
                    _ => reader.skip(9).unwrap(),
                }
            }
            assert!(reader.is_empty());
            let expected = ["topic", "content_type", "qos", "retain", "expiry_ms", "properties", "payload"];
            assert_eq!(
                names,
                if len == 0 {
                    vec!["topic", "qos", "retain", "expiry_ms", "properties", "payload"]
                } else {
                    expected.to_vec()
                }
            );
        }
    }
}
