//! Harnesses for paths and policies (see `fuzzing`).
#![allow(clippy::unwrap_used, reason = "a harness fails by a panic")]

use std::sync::LazyLock;

use super::{Policies, Question, Target};

/// A request's target: its canonical form is its own, is one that dockerd reads in one way alone, and
/// names what the target named.
pub fn target_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(target) = Target::parse(text) else {
        return;
    };
    let path = target.path();
    let whole = [path, target.query()].concat();
    assert!(whole.len() <= text.len());
    let again = Target::parse(&whole).unwrap();
    assert_eq!((again.path(), again.query()), (path, target.query()));
    assert_eq!(again, target);

    let (given, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    assert_eq!(query, target.query());
    let named = decoded(path);
    assert_eq!(named, decoded(given));
    let named = String::from_utf8(named).unwrap();
    assert!(!named.contains(char::is_control) && !named.contains(';'));

    assert!(path.starts_with('/') && !path.contains("//") && path.is_ascii());
    assert!(path == "/" || !path.ends_with('/'));
    assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")));
    for escape in ["%2f", "%2F", "%3b", "%3B", "%00"] {
        assert!(!path.contains(escape));
    }
    match target.version() {
        Some(minor) => assert_eq!(path, format!("/v1.{minor}{}", target.route())),
        None => assert_eq!(path, target.route()),
    }
    let segments: Vec<&str> = target.segments().collect();
    assert_eq!(segments.join("/"), target.route().trim_start_matches('/'));
}

/// Decodes as Go's `url.PathUnescape` does what has been seen to be well-formed.
fn decoded(path: &str) -> Vec<u8> {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        plain.push(u8::from_str_radix(&part[..2], 16).unwrap());
        plain.extend(&part.as_bytes()[2..]);
    }
    plain
}

/// A file of policies: none of them, whatever it says, opens what is for `full` alone.
pub fn policies(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    /// Read once: that takes longer than all that is done here.
    static BUILT_IN: LazyLock<Policies> = LazyLock::new(Policies::built_in);
    let mut policies = BUILT_IN.clone();
    let built_in = policies.policies.len();
    if let Err((line, problem)) = policies.add(text, "p.ini") {
        assert!(line <= text.lines().count().max(1) && !problem.contains('\n'));
        return;
    }
    let added = policies.policies.get(built_in..).unwrap_or_default();
    let names: Vec<_> = added.iter().map(|policy| policy.name.clone()).collect();
    for name in names {
        let user = format!("who has {name}");
        policies.assign(&user, &name).unwrap();
        assert!(policies.show(&name).is_some());
        for rule in &policies.only_full {
            for path in paths(&rule.text) {
                let target = Target::parse(&path).unwrap();
                for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
                    let question = Question::plain(method, &target);
                    let denied = !policies.judge(&user, &question).allowed;
                    assert!(denied || !rule.matches(method, &target), "{method} {path}");
                }
            }
        }
    }
}

/// Some paths that a rule speaks of.
fn paths(rule: &str) -> Vec<String> {
    let pattern = rule.split(' ').next_back().unwrap_or_default();
    let with = |rest: &str| pattern.replace("/**", rest).replace('*', "x");
    let paths = ["", "/x", "/x/y"].map(with).into_iter();
    paths.filter(|path| !path.is_empty()).collect()
}
