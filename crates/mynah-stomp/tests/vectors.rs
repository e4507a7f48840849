//! The golden frames of `vectors/stomp`.

use mynah_stomp::Version;
use mynah_stomp::framing::{FrameLimits, Framing};
use mynah_stomp::wire::push_header;

const LIMITS: FrameLimits = FrameLimits { frame_octets_max: 1_000, head_octets_max: 500, headers_max: 10 };

fn text<'t>(vector: &'t toml::Table, key: &str) -> &'t str {
    vector[key].as_str().unwrap()
}

/// Names and values.
fn pairs(vector: &toml::Table) -> Vec<(String, String)> {
    let pair = |pair: &toml::Value| {
        let text = |at: usize| pair[at].as_str().unwrap().to_owned();
        (text(0), text(1))
    };
    vector["headers"].as_array().unwrap().iter().map(pair).collect()
}

#[test]
fn golden_frames_say_what_they_say() {
    let table: toml::Table = include_str!("../../../vectors/stomp/frames.toml").parse().unwrap();
    let vectors = table["frame"].as_array().unwrap();
    assert!(vectors.len() >= 18);
    for vector in vectors.iter().map(|vector| vector.as_table().unwrap()) {
        for version in Version::ALL {
            let versions = vector["versions"].as_array().unwrap();
            if !versions.iter().any(|spoken| spoken.as_str() == Some(version.text())) {
                continue;
            }
            let (mut framing, mut input) = (Framing::default(), text(vector, "stream").as_bytes());
            assert!(framing.skip_ends(&mut input));
            let (frame, octets) = framing.next(input, version, &LIMITS).unwrap().unwrap();
            let name = text(vector, "name");
            assert_eq!(frame.command.text(), text(vector, "command"), "{name}");
            let found: Vec<_> =
                frame.headers.iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
            assert_eq!(found, pairs(vector), "{name}, {version}");
            assert_eq!(frame.body, text(vector, "body").as_bytes(), "{name}");
            framing.consume(&mut input, octets);
            assert!(!framing.skip_ends(&mut input), "{name}: nothing follows");
            // What is said in full comes back as it was.
            if frame.headers.is_verbatim() && version == Version::V1_0 {
                let mut lines = Vec::new();
                for (name, value) in &found {
                    assert!(push_header(name, value, version.escaping(), &mut lines));
                }
                assert_eq!(lines, frame.headers.as_bytes(), "{name}");
            }
        }
    }
}
