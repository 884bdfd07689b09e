use super::{Endpoint, UrlTemplate};
use crate::target::Target;

fn endpoint(url: &str) -> Option<Endpoint> {
    let target = Target::parse("web-1.example.net").unwrap();
    UrlTemplate::parse(url)
        .unwrap()
        .endpoint(&target, Some(7701))
}

#[test]
fn a_target_and_its_port_are_put_in() {
    let found = endpoint("http://127.0.0.1:{port}/healthz").unwrap();
    assert_eq!(
        (found.host.as_str(), found.port, found.path.as_str()),
        ("127.0.0.1", 7701, "/healthz")
    );

    let found = endpoint("http://{target}?full=1").unwrap();
    assert_eq!(found.host, "web-1.example.net");
    assert_eq!((found.port, found.path.as_str()), (80, "/?full=1"));

    let found = endpoint("http://probe.{target}:81").unwrap();
    assert_eq!(
        (found.host.as_str(), found.port),
        ("probe.web-1.example.net", 81)
    );

    assert_eq!(endpoint("http://[::1]:{port}/").unwrap().host, "::1");
}

#[test]
fn a_port_that_the_target_does_not_have_is_no_endpoint() {
    let target = Target::parse("web-1").unwrap();
    let template = UrlTemplate::parse("http://{target}:{port}/").unwrap();

    assert!(template.needs_port());
    assert_eq!(template.endpoint(&target, None), None);
}

#[test]
fn addresses_that_are_not_plain_http_are_refused() {
    for wrong in [
        "",
        "https://x/",
        "http://",
        "http:///x",
        "http://a b/",
        "http://user@x/",
        "http://x/#y",
        "http://x/{target}",
        "http://x:{target}/",
        "http://x:0/",
        "http://x:99999/",
        "http://[::1/",
        "http://{host}/",
        "http://x\\y/",
        "http://x\r\nHost: y/",
        "http://é/",
    ] {
        assert!(UrlTemplate::parse(wrong).is_err(), "{wrong}");
    }
}
