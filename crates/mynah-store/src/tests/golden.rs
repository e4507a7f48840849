//! Images of stores that earlier versions wrote: every later version opens them.

use std::path::{Path, PathBuf};

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

/// The version that is written.
const VERSION: &str = "v2";

/// The journal of the image as this version writes it: file names and bytes.
fn written() -> Vec<(String, Vec<u8>)> {
    let disk = SimulatedDisk::new();
    disk.create_folder(Path::new(FOLDER)).unwrap();
    let segments = Segments::open(std::sync::Arc::new(disk.clone()), Path::new(FOLDER)).unwrap();
    let mut writer = Writer::start(segments.into(), SALT, 4096, 1).unwrap();
    let (mut author, mut batch) = (Author::new(2, 60), Batch::new(SALT));
    for _ in 0..30 {
        author.write(&mut batch);
        let mut bytes = Vec::new();
        batch.swap(&mut bytes);
        writer.write(&[&bytes]).unwrap();
    }
    writer.close().unwrap();
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    disk.files().into_iter().map(|(path, bytes)| (name(path), bytes)).collect()
}

#[test]
fn the_image_of_this_version_is_written_as_it_is() {
    let journal = image(VERSION).join("journal");
    let disk = crate::disk::RealDisk;
    assert_eq!(
        disk.list(&journal).unwrap(),
        written().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    );
    for (name, bytes) in written() {
        assert!(std::fs::read(journal.join(&name)).unwrap() == bytes, "{name}");
    }
}

#[test]
fn the_images_of_all_versions_are_opened() {
    for version in ["v1", VERSION] {
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
    assert!(matches!(report.findings[..], [Finding::StateSetAside { .. }]), "{report:?}");
    assert_eq!(String::from_utf8(out).unwrap(), std::fs::read_to_string(image.join("export.jsonl")).unwrap());
}

/// Writes the image. To be run by hand when a version is added, never for one that was released.
#[test]
#[ignore = "writes the image"]
fn write_the_image() {
    let journal = image(VERSION).join("journal");
    std::fs::create_dir_all(&journal).unwrap();
    for (name, bytes) in written() {
        std::fs::write(journal.join(name), bytes).unwrap();
    }
    let folder = Folder::new("image");
    std::fs::create_dir_all(folder.path().join("journal")).unwrap();
    for (name, bytes) in written() {
        std::fs::write(folder.path().join("journal").join(name), bytes).unwrap();
    }
    let mut options = StoreOptions::new(folder.path());
    options.states = Some(Box::new(MemoryStates::default()));
    let mut out = Vec::new();
    tools::export(options, &mut out, |_, _| ()).unwrap();
    std::fs::write(image(VERSION).join("export.jsonl"), out).unwrap();
}
