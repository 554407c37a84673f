use super::*;

fn rule(text: &str) -> Rule {
    Rule::parse(text, 1, "p", "f").unwrap()
}

#[test]
fn a_rule_is_read_with_its_reason_and_place() {
    let rule = Rule::parse(
        "allow  GET,HEAD\t/containers/*/json # why # not",
        7,
        "p",
        "/x.ini",
    );
    let rule = rule.unwrap();
    assert!(rule.allows);
    assert_eq!(&*rule.text, "allow GET,HEAD /containers/*/json");
    assert_eq!(&*rule.reason, "why # not");
    assert_eq!(
        &*rule.label,
        "p: allow GET,HEAD /containers/*/json (/x.ini:7)"
    );
    let built_in = Rule::parse("deny * /", 7, "p", "").unwrap();
    assert_eq!(&*built_in.label, "p: deny * / (built in, line 7)");
}

#[test]
fn mistakes_are_named() {
    const FORM: &str =
        "not a rule: `allow` or `deny`, methods, a path, as in `allow GET,HEAD /containers/*/json`";
    for (text, problem) in [
        ("allow GET", FORM),
        ("allow GET /a /b", FORM),
        ("allow GET, HEAD /a", FORM),
        ("Allow GET /a", "`Allow` is neither `allow` nor `deny`"),
        (
            "allow get /a",
            "`get` is no method of Docker's API: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, or * for all",
        ),
        (
            "allow GET, /a",
            "`` is no method of Docker's API: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, or * for all",
        ),
        ("deny * a", "`a`: the path does not begin with a /"),
        (
            "deny * /a//b",
            "`/a//b`: an empty segment in the path (// or a / at its end)",
        ),
        ("deny * /../b", "`/../b`: a segment . or .. in the path"),
        ("deny * /%61", "`/%61`: write it as /a"),
        (
            "deny * /a?b",
            "`/a?b`: a rule is about a path, and knows no query",
        ),
        (
            "deny * /v1.41/a",
            "`/v1.41/a`: without the version, which rules do not see",
        ),
        (
            "deny * /a*/b",
            "`/a*/b`: a * stands for a whole segment, ** for any rest",
        ),
        (
            "deny * /***",
            "`/***`: a * stands for a whole segment, ** for any rest",
        ),
        (
            "deny * /**/a/**/b/**",
            "`/**/a/**/b/**`: more than 2 times **",
        ),
        (
            "deny * /ä",
            "`/ä`: a character in the path that has to be percent-encoded there",
        ),
    ] {
        assert_eq!(
            Rule::parse(text, 1, "p", "f").unwrap_err(),
            problem,
            "{text}"
        );
    }
}

#[test]
fn a_pattern_takes_whole_paths() {
    for (pattern, taken, left) in [
        ("/", &["/", "/v1.41"][..], &["/a"][..]),
        (
            "/containers/*/json",
            &[
                "/containers/x/json",
                "/v1.41/containers/x/json",
                "/containers/%2A/json",
            ],
            &[
                "/containers/json",
                "/containers/x/y/json",
                "/containers/x/json/y",
                "/Containers/x/json",
                "/containers/x/json%20",
                "/images/x/json",
                "/x/containers/x/json",
            ],
        ),
        (
            "/secrets/**",
            &["/secrets", "/secrets/a", "/secrets/a/b", "/v1.41/secrets"],
            &["/secretsx", "/", "/a/secrets"],
        ),
        (
            "/images/**/json",
            &[
                "/images/json",
                "/images/a/json",
                "/images/r:5000/a/b:c/json",
                "/images/json/json",
                "/images/get/json",
            ],
            &[
                "/images/a/get",
                "/images/json/get",
                "/images/a/json/history",
            ],
        ),
        ("/**", &["/", "/a", "/a/b/c"], &[]),
        (
            "/**/a/**",
            &["/a", "/b/a", "/b/a/c", "/a/a/a"],
            &["/", "/b", "/b/c/d"],
        ),
    ] {
        let rule = rule(&format!("allow GET {pattern}"));
        for path in taken {
            assert!(
                rule.matches("GET", &Target::parse(path).unwrap()),
                "{pattern} {path}"
            );
        }
        for path in left {
            assert!(
                !rule.matches("GET", &Target::parse(path).unwrap()),
                "{pattern} {path}"
            );
        }
    }
}

#[test]
fn methods_are_compared_in_their_own_case() {
    let target = Target::parse("/a").unwrap();
    let some = rule("allow GET,HEAD /a");
    for (method, taken) in [
        ("GET", true),
        ("HEAD", true),
        ("POST", false),
        ("get", false),
        ("BREW", false),
    ] {
        assert_eq!(some.matches(method, &target), taken, "{method}");
        assert!(rule("allow * /a").matches(method, &target));
    }
}

#[test]
fn a_bad_path_costs_no_more_than_its_length() {
    let rule = rule("deny * /**/x/**/y");
    let path = "/x".repeat(super::super::path::MAX_SEGMENTS);
    assert!(!rule.matches("GET", &Target::parse(&path).unwrap()));
}

#[test]
fn rules_meet_and_cover_as_sets_of_paths_do() {
    for (one, other, meets, covers) in [
        ("* /a/**", "POST /a/b", true, true),
        ("POST /a/b", "* /a/**", true, false),
        ("POST /a/*", "POST /a/b", true, true),
        ("POST /a/b", "POST /a/*", true, false),
        ("GET /a/*", "POST /a/*", false, false),
        ("POST /a/*/c", "POST /a/**/c", true, false),
        ("POST /a/**/c", "POST /a/*/c", true, true),
        ("POST /a/**", "POST /a/**/c", true, true),
        ("POST /a/*/c", "POST /a/**/d", false, false),
        ("POST /**/c", "POST /a/**", true, false),
        ("* /**", "* /**/a/**", true, true),
        ("POST,GET /a", "POST /a", true, true),
        ("POST /a", "POST,GET /a", true, false),
    ] {
        let (a, b) = (rule(&format!("deny {one}")), rule(&format!("deny {other}")));
        assert_eq!(a.meets(&b), meets, "{one} meets {other}");
        assert_eq!(b.meets(&a), meets, "{other} meets {one}");
        assert_eq!(a.covers(&b), covers, "{one} covers {other}");
    }
}

/// On small paths: whoever matches something that both match, meets; who covers, matches all of it.
#[test]
fn meeting_and_covering_agree_with_matching() {
    const PARTS: [&str; 4] = ["a", "b", "*", "**"];
    let patterns: Vec<String> = (0..PARTS.len().pow(3))
        .flat_map(|n| (1..=3).map(move |length| (n, length)))
        .map(|(n, length)| {
            let part = |place: u32| PARTS[n / PARTS.len().pow(place) % PARTS.len()];
            (0..length)
                .map(|place| format!("/{}", part(place)))
                .collect()
        })
        .filter(|pattern: &String| pattern.matches("**").count() <= 2)
        .collect();
    let paths: Vec<String> = (0..4_u32)
        .flat_map(|length| (0..3_usize.pow(length)).map(move |n| (n, length)))
        .map(|(n, length)| {
            let part = |place: u32| ["a", "b", "c"][n / 3_usize.pow(place) % 3];
            let path: String = (0..length)
                .map(|place| format!("/{}", part(place)))
                .collect();
            if path.is_empty() { "/".into() } else { path }
        })
        .collect();
    let targets: Vec<Target<'_>> = paths
        .iter()
        .map(|path| Target::parse(path).unwrap())
        .collect();
    let rules: Vec<Rule> = patterns
        .iter()
        .map(|text| rule(&format!("deny * {text}")))
        .collect();
    for a in &rules {
        for b in &rules {
            let both = targets
                .iter()
                .any(|t| a.matches("GET", t) && b.matches("GET", t));
            assert!(!both || a.meets(b), "{} {}", a.text, b.text);
            if a.covers(b) {
                let outside = targets
                    .iter()
                    .find(|t| b.matches("GET", t) && !a.matches("GET", t));
                assert!(outside.is_none(), "{} {}: {outside:?}", a.text, b.text);
            }
        }
    }
}
