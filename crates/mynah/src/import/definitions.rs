//! Queues, exchanges and bindings of a RabbitMQ definitions file, which a running broker is asked to have.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::notes::Note;
use crate::complaint::Complaint;

/// How long the broker may take for the next bytes of its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the answer.
const ANSWER_MAX: u64 = 64 << 20;

/// What the broker has made of a file.
#[derive(Debug, Deserialize)]
struct Done {
    done: u64,
    not_done: Vec<Left>,
}

#[derive(Debug, Deserialize)]
struct Left {
    what: String,
    why: String,
}

/// Has the broker whose management listens there carry out what a file says. Returns how many things that were.
pub(super) fn send(
    file: &Path,
    to: SocketAddr,
    login: Option<(&str, &str)>,
    notes: &mut Vec<Note>,
) -> Result<u64, Complaint> {
    let failed = |error| Complaint::File { path: file.to_owned(), error };
    let text = fs::read(file).map_err(failed)?;
    let answer = post(to, login, &text).map_err(|error| {
        Complaint::Other(format!("the management listener at {to} cannot be asked: {error}"))
    })?;
    let (status, body) = parsed(&answer)
        .ok_or_else(|| Complaint::Other(format!("what answers at {to} does not speak HTTP")))?;
    let done: Done = match status {
        "200" => serde_json::from_str(body).map_err(|error| {
            Complaint::Other(format!("what answers at {to} is no management of this broker: {error}"))
        })?,
        _ => return Err(Complaint::Other(format!("the broker at {to} has refused: {status} {body}"))),
    };
    let note = |left: Left| Note::new(file.display(), left.what, left.why);
    notes.extend(done.not_done.into_iter().map(note));
    Ok(done.done)
}

fn post(to: SocketAddr, login: Option<(&str, &str)>, document: &[u8]) -> io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let proof = |(user, password)| {
        format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
    };
    let proof = login.map(proof).unwrap_or_default();
    let head = format!(
        "POST /api/definitions HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         {proof}content-length: {}\r\n\r\n",
        document.len()
    );
    socket.write_all(head.as_bytes())?;
    socket.write_all(document)?;
    let mut answer = String::new();
    socket.take(ANSWER_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Status and body of an answer whose end is that of the connection.
fn parsed(answer: &str) -> Option<(&str, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Sends a file to what gives this answer.
    fn sent(answer: &'static str) -> (Result<u64, String>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let broker = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"{}\n") {
                let mut bytes = [0; 1_000];
                let count = socket.read(&mut bytes).unwrap();
                asked.extend_from_slice(&bytes[..count]);
            }
            socket.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        let file =
            std::env::temp_dir().join(format!("mynah-definitions-{}-{}", std::process::id(), to.port()));
        fs::write(&file, "{}\n").unwrap();
        let mut notes = Vec::new();
        let result =
            send(&file, to, Some(("ada", "engine")), &mut notes).map_err(|complaint| complaint.to_string());
        fs::remove_file(file).unwrap();
        let asked = broker.join().unwrap();
        assert!(asked.starts_with("POST /api/definitions HTTP/1.1\r\n"));
        assert!(asked.contains("\r\nauthorization: Basic YWRhOmVuZ2luZQ==\r\n"));
        (result, notes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_the_broker_could_not_do_is_noted() {
        let answer = "HTTP/1.1 200 OK\r\nx: y\r\n\r\n\
                      {\"done\":2,\"not_done\":[{\"what\":\"policies[0] p\",\"why\":\"because\"}]}";
        let (result, notes) = sent(answer);
        assert_eq!(result, Ok(2));
        assert!(notes.len() == 1 && notes[0].ends_with(": policies[0] p: because"), "{notes:?}");
    }

    #[test]
    fn another_answer_is_told() {
        for (answer, told) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\nno", "has refused: 403 no"),
            ("HTTP/1.1 200 OK\r\n\r\nhello", "is no management of this broker"),
            ("220 mail\r\n", "does not speak HTTP"),
        ] {
            let (result, _) = sent(answer);
            assert!(result.as_ref().is_err_and(|error| error.contains(told)), "{result:?}");
        }
        let (nobody, mut notes) = (SocketAddr::from(([127, 0, 0, 1], 1)), Vec::new());
        let error = send(Path::new("Cargo.toml"), nobody, None, &mut notes).unwrap_err().to_string();
        assert!(error.contains("cannot be asked"), "{error}");
    }
}
