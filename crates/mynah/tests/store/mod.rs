//! The store from outside: where it is without a word, and what the commands say of what a broker has left.

pub(crate) mod faults;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::{Broker, Folder, LISTENERS, ask, finished, mynah, output, read, staying};

/// A folder with a store that a broker has left in its ordinary place: a retained value, and a session that waits for
/// two messages.
fn populated(test: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(test);
    let broker = Broker::start(&folder.write("mynah.toml", LISTENERS));
    let (mut stream, _) = staying(&broker);
    stream.write_all(b"\x82\x06\0\x01\0\x01t\x02").unwrap();
    assert_eq!(read(&mut stream, 5), b"\x90\x03\0\x01\x02");
    drop(stream);
    for message in ["one", "two"] {
        assert!(output(&["pub", &broker.url(), "-t", "t", "-m", message, "-q", "1", "-r"]).0);
    }
    assert!(broker.stop());
    let store = folder.0.join("mynah-data");
    (folder, store)
}

/// What a command says of a store, and its exit code.
fn store(command: &str, folder: &Path, more: &[&str]) -> (i32, String, String) {
    let ended = mynah(&[&["store", command, folder.to_str().unwrap()], more].concat()).output().unwrap();
    let code = ended.status.code().unwrap();
    let (_, printed, complaint) = finished(ended);
    (code, printed, complaint)
}

/// The only file of the journal that has anything in it.
fn segment(store: &Path) -> PathBuf {
    let files = fs::read_dir(store.join("journal")).unwrap().map(|file| file.unwrap().path());
    files.max_by_key(|file| position(&fs::read(file).unwrap(), b"two").is_some()).unwrap()
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[test]
fn what_is_exported_is_served_by_another_broker() {
    let (folder, old) = populated("exported");
    let (code, printed, complaint) = store("stat", &old, &[]);
    assert_eq!((code, complaint.as_str()), (0, ""));
    for line in ["session        1", "subscription   1", "entry          2", "retained       1"] {
        assert!(printed.contains(&format!("\n{line}\n")), "{printed}");
    }
    assert_eq!(store("verify", &old, &[]), (0, "sound\n".to_owned(), String::new()));
    let file = folder.0.join("lines");
    assert_eq!(store("export", &old, &["-o", file.to_str().unwrap()]), (0, String::new(), String::new()));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|line| line.starts_with("{\"") && line.contains("\"kind\":\"")), "{text}");
    assert_eq!(store("export", &old, &["-o", file.to_str().unwrap()]).0, 1, "a file is not replaced");
    fs::remove_dir_all(&old).unwrap();

    let config = format!("{LISTENERS}[store]\npath = \"new\"\n");
    let config = folder.write("new.toml", &config);
    let import = ["store", "import", "-c", config.to_str().unwrap(), "-i", file.to_str().unwrap()];
    assert_eq!(output(&import), (true, String::new(), String::new()));
    let (ended_well, _, complaint) = output(&import);
    assert!(!ended_well && complaint.contains("there is a store in"), "{complaint}");
    let broker = Broker::start(&config);
    assert!(broker.get(broker.http, "/v1/topics/t").ends_with("two"));
    let (mut stream, present) = staying(&broker);
    let heard = read(&mut stream, 20);
    assert_eq!((present, &heard[..]), (true, &b"\x32\x08\0\x01t\0\x01one\x32\x08\0\x01t\0\x02two"[..]));
    assert!(broker.stop());
}

#[test]
fn a_store_that_a_broker_has_open_is_left_alone() {
    let folder = Folder::new("held");
    let broker = Broker::start(&folder.write("mynah.toml", LISTENERS));
    let held = folder.0.join("mynah-data");
    for command in ["stat", "verify", "repair", "export"] {
        let (code, printed, complaint) = store(command, &held, &[]);
        assert_eq!((code, printed.as_str()), (1, ""), "{command}");
        assert!(complaint.contains("another process uses this folder"), "{complaint}");
    }
    assert!(broker.stop());
    let nothing = folder.0.join("nothing");
    for command in ["stat", "verify", "repair", "export"] {
        let (code, _, complaint) = store(command, &nothing, &[]);
        assert!(code == 1 && complaint.contains("there is no store in"), "{complaint}");
    }
    assert!(!nothing.exists(), "looking for a store makes none");
}

#[test]
fn damage_is_found_and_mended() {
    let (folder, damaged) = populated("damaged");
    let segment = segment(&damaged);
    let mut bytes = fs::read(&segment).unwrap();
    let at = position(&bytes, b"one").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (code, printed, complaint) = store("verify", &damaged, &[]);
    assert_eq!((code, printed.as_str()), (3, "damaged\n"));
    let named = complaint.split_once(" (journal/0000000001.seg at ").unwrap().0;
    let (place, about) = named.split_once("; ").unwrap();
    assert!(about.starts_with("as far as they can be read, they were about message "), "{about}");
    assert!(about.ends_with(" for session `s` of tenant 0 (what was published to `t`)"), "{about}");
    let numbers = place.split(' ').filter_map(|word| word.parse::<usize>().ok()).collect::<Vec<_>>();
    let &[bytes, offset] = &numbers[..] else { panic!("{complaint}") };
    assert!(
        (offset..offset + bytes).contains(&at) && bytes < 200 && place.ends_with("are damaged"),
        "{named}"
    );

    let (code, printed, complaint) = store("repair", &damaged, &[]);
    assert_eq!((code, printed.as_str()), (3, "what is named above was lost\n"));
    assert!(complaint.contains(place) && complaint.contains("; a copy is in "), "{complaint}");
    let (code, printed, complaint) = store("verify", &damaged, &[]);
    assert_eq!((code, printed.as_str()), (0, "sound\n"), "{complaint}");
    assert!(complaint.starts_with(place) && complaint.contains("a copy is in"), "{complaint}");

    let broker = Broker::start(&folder.0.join("mynah.toml"));
    assert!(broker.get(broker.http, "/v1/topics/t").ends_with("two"));
    let (mut stream, present) = staying(&broker);
    assert_eq!((present, &read(&mut stream, 10)[..]), (true, &b"\x32\x08\0\x01t\0\x01two"[..]));
    assert!(broker.stop());
}

#[test]
fn a_torn_tail_is_cut_at_the_start_and_named_in_the_log() {
    let folder = Folder::new("torn");
    let config = folder.write("mynah.toml", LISTENERS);
    let broker = Broker::start(&config);
    assert!(output(&["pub", &broker.url(), "-t", "t", "-m", "two", "-q", "1", "-r"]).0);
    drop(broker); // kills it: the last segment ends in zeros
    let segment = segment(&folder.0.join("mynah-data"));
    let mut bytes = fs::read(&segment).unwrap();
    // Behind the end of the last frame, which may end in zeros too.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 100;
    bytes[end..end + 20].fill(7);
    fs::write(&segment, bytes).unwrap();
    let (code, printed, complaint) = store("verify", &folder.0.join("mynah-data"), &[]);
    assert_eq!((code, printed.as_str()), (0, "sound\n"), "{complaint}");
    let (_, offset) = complaint.trim_end().trim_end_matches(')').rsplit_once(' ').unwrap();
    assert!((end - 100..end).contains(&offset.parse().unwrap()), "{complaint}");
    let broker = Broker::start(&config);
    let log = broker.log.lock().unwrap().clone();
    let named = format!("at offset {offset} was cut off; it was not acknowledged");
    let line = log.lines().find(|line| line.contains(&named)).unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("journal/0000000001.seg") && line.contains(&format!("\"offset\":{offset}")),
        "{line}"
    );
    assert!(broker.get(broker.http, "/v1/topics/t").ends_with("two"));
    assert!(broker.stop());
}

#[test]
fn management_answers_while_the_store_is_read() {
    const ENTRIES: usize = 50_000;
    let folder = Folder::new("reading");
    let (old, store_folder) = populated("read");
    let (code, text, _) = store("export", &store_folder, &[]);
    assert_eq!(code, 0);
    drop(old);
    // The same message many times, so that there is something to be read.
    let entry = text.lines().rfind(|line| line.contains(r#""kind":"entry""#)).unwrap();
    let (before, after) = entry.split_once(r#""sequence":"#).unwrap();
    let (first, after) = after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap());
    let first: usize = first.parse().unwrap();
    let more = (1..ENTRIES).map(|more| format!("{before}\"sequence\":{}{after}\n", first + more));
    let lines = folder.write("lines", &(text.clone() + &more.collect::<String>()));
    let config = folder.write("mynah.toml", LISTENERS);
    let import = ["store", "import", "-c", config.to_str().unwrap(), "-i", lines.to_str().unwrap()];
    assert_eq!(output(&import), (true, String::new(), String::new()));

    let mut child = mynah(&["serve", "-c", config.to_str().unwrap()]).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut address = |protocol: &str| {
        let protocol = format!("\"protocol\":\"{protocol}\",\"address\":\"");
        let line = log.find(|line| line.contains(&protocol)).unwrap();
        line.split_once(&protocol).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
    };
    let (http, management) = (address("http"), address("management"));
    let status = |address, path| ask(address, "GET", path, "", "")[9..12].to_owned();
    let paths = ["/readyz", "/livez", "/healthz", "/metrics"];
    assert_eq!(paths.map(|path| status(management, path)), ["503", "200", "200", "200"]);
    assert_eq!(status(http, "/v1/topics/t"), "503");
    let open = log.find(|line| line.contains("the store is open")).unwrap();
    assert!(open.contains(&format!("\"messages\":{}", ENTRIES + 1)), "{open}");
    assert!(log.any(|line| line.contains("\"ready\"")));
    assert_eq!((status(management, "/readyz"), status(http, "/v1/topics/t")), ("200".into(), "200".into()));
    child.kill().unwrap();
    child.wait().unwrap();
}
