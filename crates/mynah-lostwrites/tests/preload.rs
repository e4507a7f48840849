//! The library in a small program that writes, syncs and is killed: what it had not synced is gone, what it had is there.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use mynah_crash::random::Random;
use mynah_crash::undo::{Loss, Lost, Undo};

const SCRIPT: &str = "LOSTWRITES_TEST_SCRIPT";
const FOLDER: &str = "LOSTWRITES_TEST_FOLDER";
const OLD: [u8; 4_000] = [b'o'; 4_000];
const NEW: [u8; 3_000] = [b'n'; 3_000];

type Script = fn(&Path);

/// What the program does in its folder before it is killed.
const SCRIPTS: &[(&str, Script)] = &[
    ("overwrite", |folder| {
        let file = OpenOptions::new().write(true).open(folder.join("old")).unwrap();
        file.write_all_at(&[b's'; 700], 100).unwrap();
        file.sync_data().unwrap();
        file.write_all_at(&NEW, 500).unwrap();
        file.write_all_at(&NEW, 3_500).unwrap();
    }),
    ("append", |folder| {
        let mut file = OpenOptions::new().append(true).open(folder.join("old")).unwrap();
        file.write_all(b"synced").unwrap();
        file.sync_all().unwrap();
        file.write_all(b"not").unwrap();
        let mut position = OpenOptions::new().read(true).write(true).open(folder.join("old")).unwrap();
        position.seek(SeekFrom::Start(10)).unwrap();
        assert!(position.write_vectored(&[IoSlice::new(b"xx"), IoSlice::new(b"yy")]).unwrap() > 0);
    }),
    ("resize", |folder| {
        OpenOptions::new().write(true).open(folder.join("old")).unwrap().set_len(1_000).unwrap();
        File::create(folder.join("other")).unwrap().write_all(b"short").unwrap();
    }),
    ("make", |folder| {
        let sync = |folder: &Path| File::open(folder).unwrap().sync_all().unwrap();
        File::create_new(folder.join("kept")).unwrap().write_all(b"no content").unwrap();
        fs::create_dir(folder.join("safe")).unwrap();
        sync(folder);
        let mut file = File::create(folder.join("safe/file")).unwrap();
        file.write_all(b"content").unwrap();
        file.sync_all().unwrap();
        sync(&folder.join("safe"));
        let mut gone = File::create(folder.join("gone")).unwrap();
        gone.write_all(b"synced, but not its name").unwrap();
        gone.sync_all().unwrap();
        fs::create_dir_all(folder.join("lost/inner")).unwrap();
        fs::write(folder.join("lost/inner/file"), "x").unwrap();
    }),
    ("move", |folder| {
        fs::rename(folder.join("old"), folder.join("other")).unwrap();
        fs::create_dir(folder.join("a")).unwrap();
        fs::rename(folder.join("a"), folder.join("b")).unwrap();
        fs::copy(folder.join("other"), folder.join("b/copy")).unwrap();
        fs::remove_file(folder.join("third")).unwrap();
        fs::remove_dir_all(folder.join("full")).unwrap();
    }),
];

#[test]
#[ignore = "the program that the other tests start and kill"]
fn program() {
    let script = std::env::var(SCRIPT).unwrap();
    let (_, run) = SCRIPTS.iter().find(|(name, _)| *name == script).unwrap();
    run(Path::new(&std::env::var_os(FOLDER).unwrap()));
    // Beyond the reach of the test framework, which would keep it.
    writeln!(std::io::stdout().lock(), "\ndone").unwrap();
    thread::sleep(Duration::from_secs(60));
}

/// A folder with files that a test's program changes.
struct Bench {
    root: PathBuf,
    undo: Undo,
}

impl Bench {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mynah-lostwrites-{}-{number}", std::process::id());
        let root = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        let folder = root.join("folder");
        fs::create_dir_all(folder.join("full")).unwrap();
        fs::write(folder.join("old"), OLD).unwrap();
        for name in ["other", "third", "full/file"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let mut undo = Undo::new(&folder, &root.join("side"), &library());
        undo.begin().unwrap();
        Self { root, undo }
    }

    /// Runs a script, kills it, and loses what it had not synced.
    fn run(&mut self, script: &str, loss: Loss, ignores_sync: bool) -> Lost {
        self.start(script, &self.undo.environment(ignores_sync));
        self.undo.apply(loss, &mut Random::new(7)).unwrap()
    }

    fn start(&self, script: &str, environment: &[(&'static str, PathBuf)]) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "program", "--nocapture"]);
        command.env(SCRIPT, script).env(FOLDER, self.root.join("folder"));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let is_done = lines.any(|line| line == "done");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_done, "{script} failed: see above");
    }

    fn content(&self, name: &str) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        File::open(self.root.join("folder").join(name)).ok()?.read_to_end(&mut content).unwrap();
        Some(content)
    }

    fn is_as_before(&self) -> bool {
        let kept = ["other", "third", "full/file"];
        self.content("old").as_deref() == Some(&OLD)
            && kept.iter().all(|name| self.content(name).as_deref() == Some(name.as_bytes()))
            && fs::read_dir(self.root.join("folder")).unwrap().count() == 4
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Asks cargo for the library: one that is there may be older than its sources.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // Tests are at TARGET/PROFILE/deps.
    let target = test.ancestors().nth(3).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "mynah-lostwrites", "--target-dir"]).arg(target);
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    target.join("debug/libmynah_lostwrites.so")
}

/// The content of `old` after the synced part of a script.
fn synced(script: &str) -> Vec<u8> {
    let mut content = OLD.to_vec();
    match script {
        "overwrite" => content[100..800].fill(b's'),
        _ => content.extend_from_slice(b"synced"),
    }
    content
}

#[test]
fn what_was_written_after_the_sync_is_lost_and_what_was_before_is_there() {
    for script in ["overwrite", "append"] {
        let mut bench = Bench::new();
        let lost = bench.run(script, Loss::Everything, false);
        assert!(lost.sectors > 0 && lost.bytes > 0, "{lost}");
        assert!(bench.content("old") == Some(synced(script)), "{script}");
    }
}

#[test]
fn a_kill_alone_loses_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("overwrite", Loss::Nothing, false), Lost::default());
    assert_eq!(bench.content("old").unwrap().len(), 6_500);
}

#[test]
fn chance_loses_whole_sectors_of_what_was_not_synced_and_nothing_else() {
    for loss in [Loss::Sectors, Loss::Tail] {
        let mut bench = Bench::new();
        bench.run("overwrite", loss, false);
        let (found, old) = (bench.content("old").unwrap(), synced("overwrite"));
        let mut new = old.clone();
        new.resize(6_500, 0);
        new[500..3_500].fill(b'n');
        new[3_500..6_500].fill(b'n');
        for (number, sector) in found.chunks(512).enumerate() {
            let at = number * 512..number * 512 + sector.len();
            let mut before = old.get(at.start..).unwrap_or_default().to_vec();
            before.resize(sector.len(), 0);
            // The second write begins within a sector: the one before may be there without it.
            let mut between = before.clone();
            for (byte, at) in between.iter_mut().zip(at.clone()) {
                if (500..3_500).contains(&at) {
                    *byte = b'n';
                }
            }
            let states = [&new[at], &before, &between];
            assert!(states.contains(&sector), "{loss:?}: sector {number} is neither old nor new");
        }
    }
}

#[test]
fn lengths_and_names_go_back() {
    for script in ["resize", "move"] {
        let mut bench = Bench::new();
        bench.run(script, Loss::Everything, false);
        assert!(bench.is_as_before(), "{script}");
    }
}

#[test]
fn a_name_is_safe_when_its_folder_was_synced() {
    let mut bench = Bench::new();
    bench.run("make", Loss::Everything, false);
    assert_eq!(bench.content("kept").as_deref(), Some(&b""[..]));
    assert_eq!(bench.content("safe/file").as_deref(), Some(&b"content"[..]));
    for name in ["gone", "lost/inner/file", "lost"] {
        assert!(!bench.root.join("folder").join(name).exists(), "{name}");
    }
}

#[test]
fn without_syncs_everything_is_lost() {
    for (script, _) in SCRIPTS {
        let mut bench = Bench::new();
        bench.run(script, Loss::Everything, true);
        assert!(bench.is_as_before(), "{script}");
    }
}

#[test]
fn a_change_that_goes_past_the_library_is_an_error() {
    let mut bench = Bench::new();
    bench.start("resize", &[]);
    let error = bench.undo.apply(Loss::Everything, &mut Random::new(7)).unwrap_err();
    assert!(error.to_string().contains("did not see it"), "{error}");
}

#[test]
fn a_file_that_the_kill_left_before_its_note_is_no_error_and_a_second_one_is() {
    let mut bench = Bench::new();
    let mut make = |name: &str| {
        fs::write(bench.root.join("folder").join(name), "").unwrap();
        bench.undo.apply(Loss::Everything, &mut Random::new(7))
    };
    assert_eq!(make("first").unwrap(), Lost::default());
    assert!(make("second").unwrap_err().to_string().contains("did not see it"));
}
