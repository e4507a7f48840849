//! Images of stores that earlier versions wrote: every later version opens them.

use std::path::{Path, PathBuf};

use super::fields;
use super::rig::{Author, FOLDER, SALT};
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::journal::writer::Writer;
use crate::record::Batch;
use crate::report::Finding;
use crate::segment::Segments;
use crate::state::MemoryStates;
use crate::store::StoreOptions;
use crate::testing::Folder;
use crate::tools;

fn image(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/store").join(version)
}

/// The images that this version writes: what a broker might, and one record of every kind with every field.
const IMAGES: [&str; 2] = ["v2", "v2-fields"];

/// The journal of an image as this version writes it: file names and bytes.
fn written(image: &str) -> Vec<(String, Vec<u8>)> {
    let disk = SimulatedDisk::new();
    disk.create_folder(Path::new(FOLDER)).unwrap();
    let segments = Segments::open(std::sync::Arc::new(disk.clone()), Path::new(FOLDER)).unwrap();
    let mut writer = Writer::start(segments.into(), SALT, 4096, 1).unwrap();
    let (mut author, mut batch) = (Author::new(2, 60), Batch::new(SALT));
    let mut write = |batch: &mut Batch| {
        let mut bytes = Vec::new();
        batch.swap(&mut bytes);
        writer.write(&[&bytes]).unwrap();
    };
    if image == "v2" {
        for _ in 0..30 {
            author.write(&mut batch);
            write(&mut batch);
        }
    } else {
        fields::write(&mut batch);
        write(&mut batch);
    }
    writer.close().unwrap();
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    disk.files().into_iter().map(|(path, bytes)| (name(path), bytes)).collect()
}

#[test]
fn the_images_of_this_version_are_written_as_they_are() {
    for version in IMAGES {
        let journal = image(version).join("journal");
        let disk = crate::disk::RealDisk;
        assert_eq!(
            disk.list(&journal).unwrap(),
            written(version).iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        );
        for (name, bytes) in written(version) {
            assert!(std::fs::read(journal.join(&name)).unwrap() == bytes, "{version}: {name}");
        }
    }
}

#[test]
fn the_images_of_all_versions_are_opened() {
    for version in ["v1"].into_iter().chain(IMAGES) {
        open_image(&image(version));
    }
}

fn open_image(image: &Path) {
    let folder = Folder::new("image");
    std::fs::create_dir_all(folder.path().join("journal")).unwrap();
    for entry in std::fs::read_dir(image.join("journal")).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), folder.path().join("journal").join(entry.file_name())).unwrap();
    }
    let mut options = StoreOptions::new(folder.path());
    options.states = Some(Box::new(MemoryStates::default()));
    let mut out = Vec::new();
    let report = tools::export(options, &mut out, |_, _| ()).unwrap();
    // With one segment it may be that there never was a state.
    assert!(matches!(report.findings[..], [] | [Finding::StateSetAside { .. }]), "{report:?}");
    assert_eq!(String::from_utf8(out).unwrap(), std::fs::read_to_string(image.join("export.jsonl")).unwrap());
}

#[test]
fn every_kind_of_record_is_in_an_image() {
    let export = std::fs::read_to_string(image("v2-fields").join("export.jsonl")).unwrap();
    let kinds = [
        "message",
        "setting",
        "session",
        "queue",
        "exchange",
        "subscription",
        "received",
        "part",
        "will",
        "lease",
        "entry",
        "retained",
        "delayed",
        "bridge",
    ];
    for kind in kinds {
        assert!(export.contains(&format!("\"kind\":\"{kind}\"")), "{kind}");
    }
    assert!(export.contains("\"publisher\":"));
}

/// Writes the images. To be run by hand when a version is added, never for one that was released.
#[test]
#[ignore = "writes the images"]
fn write_the_images() {
    for version in IMAGES {
        let folder = Folder::new("image");
        for journal in [image(version).join("journal"), folder.path().join("journal")] {
            std::fs::create_dir_all(&journal).unwrap();
            for (name, bytes) in written(version) {
                std::fs::write(journal.join(name), bytes).unwrap();
            }
        }
        let mut options = StoreOptions::new(folder.path());
        options.states = Some(Box::new(MemoryStates::default()));
        let mut out = Vec::new();
        tools::export(options, &mut out, |_, _| ()).unwrap();
        std::fs::write(image(version).join("export.jsonl"), out).unwrap();
    }
}
