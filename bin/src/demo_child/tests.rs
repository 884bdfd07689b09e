use super::*;

/// Sends `question` and gives the answer's first line.
fn asked(question: &[u8], is_broken: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let answering = thread::spawn(move || answer(server, is_broken));
    client.write_all(question).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    answering.join().unwrap().unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn only_healthz_is_answered_and_only_to_get() {
    let cases = [
        ("GET /healthz HTTP/1.1", "HTTP/1.1 200 OK"),
        ("GET /healthz?x=1 HTTP/1.0", "HTTP/1.1 200 OK"),
        ("GET / HTTP/1.1", "HTTP/1.1 404 Not Found"),
        ("GET /healthzz HTTP/1.1", "HTTP/1.1 404 Not Found"),
        ("POST /healthz HTTP/1.1", "HTTP/1.1 405 Method Not Allowed"),
        ("\u{1b}[2J", "HTTP/1.1 405 Method Not Allowed"),
    ];
    for (line, expected) in cases {
        let question = format!("{line}\r\nhost: x\r\n\r\n");
        assert_eq!(asked(question.as_bytes(), false), expected, "{line:?}");
    }
}

#[test]
fn a_broken_child_says_so() {
    let question = b"GET /healthz HTTP/1.1\r\n\r\n";
    assert_eq!(asked(question, true), "HTTP/1.1 503 Service Unavailable");
}

#[test]
fn half_a_question_gets_no_answer() {
    assert_eq!(asked(b"GET /healthz HTTP/1.1\r\n", false), "");
    assert_eq!(asked(b"", false), "");
}

#[test]
fn starts_are_counted_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");

    let counts: Vec<u64> = (0..3).map(|_| count_start(&marker).ok().unwrap()).collect();

    assert_eq!(counts, [1, 2, 3]);
    let missing = count_start(&folder.path().join("no/marker"));
    assert!(missing.is_err_and(|end| end.to_string().contains("marker")));
}
