//! Order, repetitions, windows and ends of one session.

use super::*;

/// A session on connection 7, opened at 10, that is to get `one` and `two` from one publisher.
fn session(class: Class, reached_at: u64) -> Session {
    let mut session = Session::new(1, 0);
    session.link = Some(7);
    for payload in ["one", "two"] {
        let publication = Publication::new("a", payload.as_bytes().to_vec(), class.number(), false, None);
        session.expected.push(Expected {
            publisher: 3,
            at: reached_at,
            ..Expected::live(&publication, class, Some(7))
        });
    }
    session
}

fn arrival(payload: &str, class: Class, id: Option<u16>, dup: bool) -> Arrival {
    let (topic, payload) = ("a".to_owned(), payload.as_bytes().to_vec());
    Arrival { dup, class, retain: false, id, topic, payload, told: None, is_new: true }
}

fn receive(session: &mut Session, link: usize, arrival: &Arrival) -> Result<(), String> {
    receive_within(2, session, link, arrival)
}

fn receive_within(
    window: usize,
    session: &mut Session,
    link: usize,
    arrival: &Arrival,
) -> Result<(), String> {
    let way = Way { link, opened_at: 10, sent_at: 30, sent: Instant::ZERO, window };
    session.receive(way, (0, 1), arrival, &History::default()).map_err(|Violation(text)| text)
}

fn assert_says<T: std::fmt::Debug>(result: Result<T, String>, words: &str) {
    assert!(result.as_ref().is_err_and(|text| text.contains(words)), "{result:?}");
}

#[test]
fn order_is_kept_and_nothing_comes_that_was_not_published() {
    let mut session = session(Class::AtMostOnce, 20);
    let class = Class::AtMostOnce;
    assert_says(receive(&mut session, 7, &arrival("six", class, None, false)), "is not expected");
    assert_eq!(receive(&mut session, 7, &arrival("two", class, None, false)), Ok(()));
    assert_says(receive(&mut session, 7, &arrival("one", class, None, false)), "is out of order");
    assert_says(receive(&mut session, 7, &arrival("two", class, None, false)), "came before");
    let gaps = session.check_gaps(Instant::ZERO).map_err(|Violation(text)| text);
    assert_says(gaps, "`one` of QoS 0 on a is missing, what follows it came");
}

#[test]
fn a_repetition_needs_another_connection_and_dup() {
    let class = Class::AtLeastOnce;
    let mut session = session(class, 20);
    assert_says(receive(&mut session, 7, &arrival("one", class, Some(1), true)), "newer than the connection");
    let mut session = self::session(class, 5);
    assert_eq!(receive(&mut session, 7, &arrival("one", class, Some(1), true)), Ok(()));
    assert_says(receive(&mut session, 7, &arrival("one", class, Some(1), true)), "twice on one connection");
    assert_says(receive(&mut session, 8, &arrival("one", class, Some(1), false)), "again without DUP");
    assert_says(receive(&mut session, 8, &arrival("two", class, Some(1), true)), "of another message");
    assert_eq!(receive(&mut session, 8, &arrival("one", class, Some(1), true)), Ok(()));
    session.settle(1, Settlement::Accepted);
    assert_says(receive(&mut session, 9, &arrival("one", class, Some(1), true)), "came before");
}

#[test]
fn exactly_once_comes_once_to_the_program_and_not_after_its_pubrec() {
    let class = Class::ExactlyOnce;
    let mut session = session(class, 5);
    assert_eq!(receive(&mut session, 7, &arrival("one", class, Some(1), false)), Ok(()));
    assert_says(receive(&mut session, 8, &arrival("one", class, Some(1), true)), "twice to the program");
    let again = Arrival { is_new: false, ..arrival("one", class, Some(1), true) };
    assert_eq!(receive(&mut session, 8, &again), Ok(()));
    session.settle(1, Settlement::Received);
    assert_says(receive(&mut session, 9, &again), "after its PUBREC");
}

#[test]
fn the_end_asks_for_everything_and_the_window_is_never_passed() {
    let class = Class::AtLeastOnce;
    let mut session = session(class, 20);
    let end = |session: &Session| {
        session.check_end((0, 1), Instant::ZERO, &History::default()).map_err(|Violation(text)| text)
    };
    assert_eq!(receive_within(1, &mut session, 7, &arrival("one", class, Some(1), false)), Ok(()));
    assert_says(receive_within(1, &mut session, 7, &arrival("two", class, Some(2), false)), "one too many");
    assert_says(end(&session), "never settled");
    session.settle(1, Settlement::Accepted);
    assert_eq!(end(&session), Ok(()));
}
