use super::*;

fn canonical(target: &str) -> Result<String, &'static str> {
    match Target::parse(target) {
        Ok(parsed) => Ok([parsed.path(), parsed.query()].concat()),
        Err(TargetError(why)) => Err(why),
    }
}

#[test]
fn what_is_canonical_stays_and_is_borrowed() {
    for target in [
        "/",
        "/info",
        "/v1.41/containers/json?all=1",
        "/images/registry.example:5000/team/app:1.0/json",
        "/images/app@sha256:0123/json",
        "/containers/a%25b/json",
        "/networks/%C3%A4%20b",
        "/a-._~!$&'()*+,=:@b",
        "/info?a=/../%00//&b=?%2F",
        "/..a/b../...",
    ] {
        assert_eq!(canonical(target), Ok(target.to_string()));
    }
    let parsed = Target::parse("/v1.41/containers/json").unwrap();
    assert!(matches!(parsed.path, Cow::Borrowed(_)));
}

#[test]
fn what_is_normalised_is_written_in_one_way() {
    for (target, expected) in [
        ("/%63ontainers/%6Ason", "/containers/json"),
        ("/secrets%2fx", "/secrets/x"),
        ("/images/a%2Fb/json", "/images/a/b/json"),
        ("/%76%31.41/info", "/v1.41/info"),
        ("/v1.41%2Finfo", "/v1.41/info"),
        ("/networks/%c3%a4", "/networks/%C3%A4"),
        // Decoded once: what comes out is a name with a percent sign.
        ("/images/a%252Fb/json", "/images/a%252Fb/json"),
        ("/images/%252e%252e/json", "/images/%252e%252e/json"),
        ("/a%5cb%22", "/a%5Cb%22"),
        ("/a%3Fb", "/a%3Fb"),
        ("/a%23b", "/a%23b"),
    ] {
        assert_eq!(canonical(target), Ok(expected.to_string()), "{target}");
    }
}

#[test]
fn what_could_mean_two_things_is_refused() {
    const EMPTY: &str = "an empty segment in the path (// or a / at its end)";
    const DOTS: &str = "a segment . or .. in the path";
    const CONTROL: &str = "a control character in the path";
    const SEMICOLON: &str = "a ; in the path";
    const VERSION: &str = "a version that is not of the form /v1.NN";
    const PERCENT: &str = "a % in the path without two hexadecimal digits behind it";
    const ENCODE: &str = "a character in the path that has to be percent-encoded there";
    let deep = "/a".repeat(MAX_SEGMENTS + 1);
    for (target, why) in [
        ("//info", EMPTY),
        ("/containers//json", EMPTY),
        ("/containers/", EMPTY),
        ("/v1.41/", EMPTY),
        ("/%2Finfo", EMPTY),
        ("/containers/%2f/json", EMPTY),
        ("/images/../containers/json", DOTS),
        ("/images/x/..", DOTS),
        ("/./info", DOTS),
        ("/images/%2e%2E/secrets", DOTS),
        ("/images/..%2fsecrets", DOTS),
        ("/images%2f..%2fsecrets", DOTS),
        ("/info%00", CONTROL),
        ("/info%0d%0aX:%20y", CONTROL),
        ("/info%7F", CONTROL),
        ("/info%C2%9B2J", CONTROL),
        ("/info%ff", "the path is not UTF-8"),
        ("/info%c0%af", "the path is not UTF-8"),
        ("/info%ed%a0%80", "the path is not UTF-8"),
        ("/info;x=1", SEMICOLON),
        ("/info%3bx", SEMICOLON),
        ("/info%", PERCENT),
        ("/info%2", PERCENT),
        ("/info%zz", PERCENT),
        ("/info%+1", PERCENT),
        ("/a\\b", ENCODE),
        ("/a[b]", ENCODE),
        ("/{a}", ENCODE),
        ("/a|b", ENCODE),
        ("/v1.41/v1.41/info", "a second version in the path"),
        ("/v1.41/v2/info", "a second version in the path"),
        ("/v1.41%2fv1.24/info", "a second version in the path"),
        ("/v1/info", VERSION),
        ("/v2.0/info", VERSION),
        ("/v1.041/info", VERSION),
        ("/v1.4.1/info", VERSION),
        ("/v1./info", VERSION),
        ("/v./info", VERSION),
        ("/v1.1000/info", VERSION),
        ("/v%31.+1/info", ""),
        ("*", "the path does not begin with a /"),
        ("", "the path does not begin with a /"),
        ("?x", "the path does not begin with a /"),
        (&deep, "too many segments in the path"),
        ("/info?a;b", "a ; in the query"),
        (
            "/info?a=%",
            "a % in the query without two hexadecimal digits behind it",
        ),
        (
            "/info?a=%1g",
            "a % in the query without two hexadecimal digits behind it",
        ),
    ] {
        match why {
            // dockerd takes that for no version either.
            "" => assert_eq!(canonical(target), Ok("/v1.+1/info".to_string())),
            _ => assert_eq!(canonical(target), Err(why), "{target}"),
        }
    }
}

#[test]
fn the_version_is_taken_off_the_route() {
    for (target, version, route, segments) in [
        ("/", None, "/", 0),
        ("/v1.41", Some(41), "", 0),
        ("/v1.0/info", Some(0), "/info", 1),
        (
            "/v1.23/containers/x/start",
            Some(23),
            "/containers/x/start",
            3,
        ),
        ("/v1.123/info?x", Some(123), "/info", 1),
        ("/V1.41/info", None, "/V1.41/info", 2),
        ("/images/v1.41/json", None, "/images/v1.41/json", 3),
        ("/v/info", None, "/v/info", 2),
    ] {
        let parsed = Target::parse(target).unwrap();
        assert_eq!(parsed.version(), version, "{target}");
        assert_eq!(parsed.route(), route, "{target}");
        assert_eq!(parsed.segments().count(), segments, "{target}");
    }
}

/// Whatever comes in, what goes on is canonical: it has nothing in it that is refused, is not longer, and
/// is its own canonical form.
#[test]
fn the_canonical_form_is_one() {
    const PIECES: [&str; 40] = [
        "/",
        "/",
        "/",
        "//",
        ".",
        "..",
        "/..",
        "/./",
        "%2e",
        "%2E%2e",
        "%2f",
        "%2F",
        "%5c",
        "%",
        "%2",
        "%25",
        "%252e",
        "%00",
        "%0a",
        "%7f",
        "%c3%a4",
        "%C2%85",
        "%ff",
        "%3b",
        ";",
        "\\",
        "v1.41",
        "v1.2",
        "v2",
        "%76",
        "containers",
        "json",
        "images",
        "*",
        "**",
        "?",
        "?a=%41",
        "+",
        "%20",
        "~",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut taken = 0;
    let rounds = if cfg!(miri) { 200 } else { 200_000 };
    for _ in 0..rounds {
        let mut target = String::from("/");
        for _ in 0..next(8) {
            target.push_str(PIECES[next(PIECES.len())]);
        }
        let Ok(parsed) = Target::parse(&target) else {
            continue;
        };
        taken += 1;
        let path = parsed.path();
        let whole = [path, parsed.query()].concat();
        let again = Target::parse(&whole).unwrap();
        assert_eq!(
            (again.path(), again.query()),
            (path, parsed.query()),
            "{target}"
        );
        assert_eq!(again.version(), parsed.version(), "{target}");
        assert_eq!(again.route(), parsed.route(), "{target}");
        assert!(whole.len() <= target.len(), "{target}");
        assert!(
            path.bytes().all(|byte| is_plain(byte) || byte == b'%'),
            "{target}"
        );
        assert!(
            path == "/" || (!path.contains("//") && !path.ends_with('/')),
            "{target}"
        );
        assert!(
            !path.split('/').any(|part| part == "." || part == ".."),
            "{target}"
        );
        // What dockerd makes of it is what was judged.
        let decoded = decode(path).unwrap();
        assert_eq!(
            decoded.matches('/').count(),
            path.matches('/').count(),
            "{target}"
        );
        assert!(!decoded.contains([';', '\0', '\n', '\r']), "{target}");
    }
    assert!(taken > rounds / 20, "{taken}");
}
