use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use smol::block_on;

use super::*;

fn probe(url: &str, port: u16) -> Result<Probe, String> {
    let spec = ProbeSpec {
        url: url.to_owned(),
        every: Duration::from_millis(10),
        expect: 200,
        timeout: Duration::from_secs(30),
    };
    Probe::new(&spec, &Target::parse("web-1").unwrap(), Some(port))
}

fn ask(probe: &Probe) -> Result<(), String> {
    let pool = BlockingPool::builder().name("fleet").threads(1).build();
    let deadline = Instant::now() + Duration::from_secs(30);
    block_on(probe.ask(&pool, deadline))
}

/// Answers one connection each with these bytes, and gives what was asked.
fn server(answers: &'static [&'static [u8]]) -> (u16, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let mut questions = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 4096];
            let length = stream.read(&mut question).unwrap();
            questions.push(String::from_utf8_lossy(&question[..length]).into_owned());
            stream.write_all(answer).unwrap();
        }
        questions
    });
    (port, serving)
}

#[test]
fn only_the_expected_status_is_healthy() {
    let (port, serving) = server(&[
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
        b"",
    ]);
    let probe = probe("http://127.0.0.1:{port}/healthz?deep=1", port).unwrap();

    let answers: Vec<bool> = (0..6).map(|_| ask(&probe).is_ok()).collect();

    assert_eq!(answers, [true, false, false, false, false, false]);
    let questions = serving.join().unwrap();
    let question = questions[0].to_lowercase();
    assert!(question.starts_with("get /healthz?deep=1 http/1.1\r\n"));
    assert!(question.contains(&format!("host: 127.0.0.1:{port}\r\n")));
}

#[test]
fn a_name_is_looked_up() {
    let (port, serving) = server(&[b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]);

    ask(&probe("http://localhost:{port}", port).unwrap()).unwrap();

    assert!(serving.join().unwrap()[0].starts_with("GET / HTTP/1.1\r\n"));
}

#[test]
fn no_answer_in_time_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut probe = probe("http://127.0.0.1:{port}/", port).unwrap();
    probe.timeout = Duration::from_millis(50);

    let error = ask(&probe).unwrap_err();

    assert!(error.contains("no answer in time"), "{error}");
    drop(listener);
    assert!(ask(&probe).is_err());
}

#[test]
fn an_address_that_cannot_be_asked_is_refused() {
    for url in [
        "https://127.0.0.1/",
        "/healthz",
        "http://",
        "http://a b/",
        "",
    ] {
        assert!(probe(url, 1).is_err(), "{url}");
    }
    let target = probe("http://{target}:80/{target}", 1).unwrap();
    assert_eq!(target.url, "http://web-1:80/web-1");
    let literal = probe("http://[::1]:{port}/", 7).unwrap();
    assert_eq!((literal.host.as_str(), literal.port), ("::1", 7));
}
