use super::*;

fn ask(policies: &Policies, user: &str, method: &str, target: &str) -> Ruling {
    let target = Target::parse(target).unwrap();
    policies.judge(user, &Question::plain(method, &target))
}

fn policies(text: &str) -> Policies {
    let mut policies = Policies::built_in();
    policies.assign("root", FULL).unwrap();
    policies.assign("watcher", "monitor").unwrap();
    if !text.is_empty() {
        policies.add(text, "f").unwrap();
        policies.assign("own", "own").unwrap();
    }
    policies
}

#[test]
fn what_is_built_in_can_be_read_and_is_closed() {
    let sections = file::parse(BUILT_IN, "").unwrap();
    let names: Vec<&str> = sections.iter().map(|section| &*section.name).collect();
    assert_eq!(names, [ONLY_FULL, READ_ONLY, "monitor"]);
    let policies = Policies::built_in();
    assert_eq!(policies.names(), "full, read-only, monitor");
    for section in &sections {
        policies.keep_closed(&section.rules).unwrap();
        // A rule that comes too late says something else than it does.
        for (place, rule) in section.rules.iter().enumerate() {
            let hidden = section.rules[..place]
                .iter()
                .find(|before| before.covers(rule));
            assert!(hidden.is_none(), "{} behind {hidden:?}", rule.text);
        }
    }
}

/// Docker's Engine API by endpoints, and who may: `f`ull, `r`ead-only, `m`onitor.
const ENDPOINTS: &[(&str, &str, &str)] = &[
    ("GET", "/containers/json", "frm"),
    ("POST", "/containers/create", "f"),
    ("GET", "/containers/x/json", "frm"),
    ("GET", "/containers/x/top", "fr"),
    ("GET", "/containers/x/logs", "fr"),
    ("GET", "/containers/x/changes", "fr"),
    ("GET", "/containers/x/export", "f"),
    ("GET", "/containers/x/stats", "frm"),
    ("POST", "/containers/x/resize", "f"),
    ("POST", "/containers/x/start", "f"),
    ("POST", "/containers/x/stop", "f"),
    ("POST", "/containers/x/restart", "f"),
    ("POST", "/containers/x/kill", "f"),
    ("POST", "/containers/x/update", "f"),
    ("POST", "/containers/x/rename", "f"),
    ("POST", "/containers/x/pause", "f"),
    ("POST", "/containers/x/unpause", "f"),
    ("POST", "/containers/x/attach", "f"),
    ("GET", "/containers/x/attach/ws", "f"),
    ("POST", "/containers/x/wait", "f"),
    ("DELETE", "/containers/x", "f"),
    ("HEAD", "/containers/x/archive", "f"),
    ("GET", "/containers/x/archive", "f"),
    ("PUT", "/containers/x/archive", "f"),
    ("POST", "/containers/prune", "f"),
    ("GET", "/containers/x/checkpoints", "f"),
    ("POST", "/containers/x/checkpoints", "f"),
    ("DELETE", "/containers/x/checkpoints/c", "f"),
    ("GET", "/images/json", "frm"),
    ("POST", "/build", "f"),
    ("POST", "/build/prune", "f"),
    ("POST", "/build/cancel", "f"),
    ("POST", "/images/create", "f"),
    ("GET", "/images/r/n:t/json", "frm"),
    ("GET", "/images/r/n:t/history", "fr"),
    ("POST", "/images/r/n:t/push", "f"),
    ("POST", "/images/r/n:t/tag", "f"),
    ("DELETE", "/images/r/n:t", "f"),
    ("GET", "/images/search", "f"),
    ("POST", "/images/prune", "f"),
    ("POST", "/commit", "f"),
    ("GET", "/images/r/n:t/get", "f"),
    ("GET", "/images/get", "f"),
    ("POST", "/images/load", "f"),
    ("POST", "/auth", "f"),
    ("GET", "/info", "frm"),
    ("GET", "/version", "frm"),
    ("GET", "/_ping", "frm"),
    ("HEAD", "/_ping", "frm"),
    ("GET", "/events", "frm"),
    ("GET", "/system/df", "fr"),
    ("POST", "/containers/x/exec", "f"),
    ("POST", "/exec/x/start", "f"),
    ("POST", "/exec/x/resize", "f"),
    ("GET", "/exec/x/json", "fr"),
    ("GET", "/volumes", "frm"),
    ("POST", "/volumes/create", "f"),
    ("GET", "/volumes/x", "fr"),
    ("PUT", "/volumes/x", "f"),
    ("DELETE", "/volumes/x", "f"),
    ("POST", "/volumes/prune", "f"),
    ("GET", "/networks", "frm"),
    ("GET", "/networks/x", "frm"),
    ("DELETE", "/networks/x", "f"),
    ("POST", "/networks/create", "f"),
    ("POST", "/networks/x/connect", "f"),
    ("POST", "/networks/x/disconnect", "f"),
    ("POST", "/networks/prune", "f"),
    ("GET", "/plugins", "fr"),
    ("GET", "/plugins/privileges", "f"),
    ("POST", "/plugins/pull", "f"),
    ("GET", "/plugins/r/p:t/json", "fr"),
    ("DELETE", "/plugins/p", "f"),
    ("POST", "/plugins/p/enable", "f"),
    ("POST", "/plugins/p/disable", "f"),
    ("POST", "/plugins/p/upgrade", "f"),
    ("POST", "/plugins/create", "f"),
    ("POST", "/plugins/p/push", "f"),
    ("POST", "/plugins/p/set", "f"),
    ("GET", "/nodes", "frm"),
    ("GET", "/nodes/x", "fr"),
    ("DELETE", "/nodes/x", "f"),
    ("POST", "/nodes/x/update", "f"),
    ("GET", "/swarm", "f"),
    ("POST", "/swarm/init", "f"),
    ("POST", "/swarm/join", "f"),
    ("POST", "/swarm/leave", "f"),
    ("POST", "/swarm/update", "f"),
    ("GET", "/swarm/unlockkey", "f"),
    ("POST", "/swarm/unlock", "f"),
    ("GET", "/services", "frm"),
    ("POST", "/services/create", "f"),
    ("GET", "/services/x", "frm"),
    ("DELETE", "/services/x", "f"),
    ("POST", "/services/x/update", "f"),
    ("GET", "/services/x/logs", "fr"),
    ("GET", "/tasks", "frm"),
    ("GET", "/tasks/x", "frm"),
    ("GET", "/tasks/x/logs", "fr"),
    ("GET", "/secrets", "f"),
    ("POST", "/secrets/create", "f"),
    ("GET", "/secrets/x", "f"),
    ("DELETE", "/secrets/x", "f"),
    ("POST", "/secrets/x/update", "f"),
    ("GET", "/configs", "f"),
    ("POST", "/configs/create", "f"),
    ("GET", "/configs/x", "f"),
    ("DELETE", "/configs/x", "f"),
    ("POST", "/configs/x/update", "f"),
    ("GET", "/distribution/r/n:t/json", "f"),
    ("POST", "/session", "f"),
    ("POST", "/grpc", "f"),
    ("GET", "/debug/pprof/heap", "f"),
    ("GET", "/", "f"),
    ("GET", "/not/known/yet", "f"),
    ("OPTIONS", "/info", "f"),
    ("BREW", "/info", "f"),
];

#[test]
fn each_endpoint_of_the_api_has_its_verdict() {
    let policies = policies("");
    for (method, path, who) in ENDPOINTS {
        for (letter, user) in [('f', "root"), ('r', "anybody"), ('m', "watcher")] {
            for version in ["", "/v1.24", "/v1.41", "/v1.99"] {
                let target = match *path {
                    "/" if version.is_empty() => "/".to_string(),
                    "/" => version.to_string(),
                    path => [version, path].concat(),
                };
                let ruling = ask(&policies, user, method, &target);
                assert_eq!(
                    ruling.allowed,
                    who.contains(letter),
                    "{user} {method} {target}: {ruling:?}"
                );
            }
        }
    }
}

#[test]
fn names_with_slashes_open_no_other_door() {
    let policies = policies("");
    for target in [
        "/images/x/json/get",
        "/images/json/get",
        "/images/a%2Fb/get",
        "/containers/x/json/archive",
        "/containers/json/export",
        "/containers/x/y/logs",
        "/containers/x%2Fattach%2Fws",
        "/containers/x/logs/attach/ws",
        "/secrets%2Fx",
        "/plugins/x/json/privileges",
        "/swarm%2Funlockkey",
        "/distribution/images/json",
        "/%73ecrets",
        "/v1.41%2Fsecrets",
        "/containers/..%252f/archive",
    ] {
        let ruling = ask(&policies, "anybody", "GET", target);
        assert!(!ruling.allowed, "{target}: {ruling:?}");
    }
}

#[test]
fn old_versions_upgrades_and_starts_with_more_are_for_full_alone() {
    let policies = policies(
        "[own]\nallow POST /containers/*/start\nallow POST /containers/*/attach\n\
        allow GET /containers/*/attach/ws\nallow GET /info\n",
    );
    let judge = |user, method, target: &str, upgrade, has_body| {
        let target = Target::parse(target).unwrap();
        policies
            .judge(
                user,
                &Question {
                    method,
                    target: &target,
                    upgrade,
                    has_body,
                    has_form: false,
                    has_json: false,
                },
            )
            .allowed
    };
    let (tcp, ws, h2c) = (Some("tcp"), Some("WebSocket"), Some("h2c"));
    for (method, target, upgrade, has_body, own) in [
        ("GET", "/v1.24/info", None, false, true),
        ("GET", "/v1.23/info", None, false, false),
        ("GET", "/v1.0/info", None, false, false),
        ("GET", "/info", h2c, false, false),
        ("GET", "/info", tcp, false, false),
        ("POST", "/containers/x/attach", tcp, false, true),
        ("POST", "/containers/x/attach", h2c, false, false),
        ("POST", "/containers/x/attach", ws, false, false),
        ("GET", "/containers/x/attach/ws", ws, false, true),
        ("GET", "/containers/x/attach/ws", h2c, false, false),
        ("POST", "/containers/x/start", None, false, true),
        ("POST", "/containers/x/start", None, true, false),
        ("POST", "/containers/x/start", tcp, false, false),
        ("POST", "/v1.23/containers/x/start", None, true, false),
        ("POST", "/containers/x/start?", None, false, true),
        (
            "POST",
            "/containers/x/start?detachKeys=ctrl-p,q",
            None,
            false,
            true,
        ),
        (
            "POST",
            "/containers/x/start?detachKeys=&checkpoint-dir=/",
            None,
            false,
            false,
        ),
        (
            "POST",
            "/containers/x/start?checkpoint-dir=/",
            None,
            false,
            false,
        ),
        (
            "POST",
            "/containers/x/start?checkpoint%2Ddir=/",
            None,
            false,
            false,
        ),
    ] {
        assert_eq!(
            judge("own", method, target, upgrade, has_body),
            own,
            "{method} {target} {upgrade:?}"
        );
        assert!(judge("root", method, target, upgrade, has_body));
    }
}

#[test]
fn the_first_rule_decides_and_is_named() {
    let policies = policies(
        "[own]\n\ndeny * /secrets/** # no\nallow GET,HEAD /containers/*/json\n\
         deny GET /containers/**\n",
    );
    for (method, target, allowed, by, reason) in [
        (
            "GET",
            "/secrets",
            false,
            "own: deny * /secrets/** (f:3)",
            "no",
        ),
        (
            "GET",
            "/containers/x/json",
            true,
            "own: allow GET,HEAD /containers/*/json (f:4)",
            "",
        ),
        (
            "GET",
            "/containers/x/logs",
            false,
            "own: deny GET /containers/** (f:5)",
            "",
        ),
        ("GET", "/info", false, "own: no rule allows it", ""),
        (
            "POST",
            "/commit",
            false,
            "only-full: deny POST /commit (built in, line 10)",
            "its body changes an image's configuration",
        ),
        (
            "GET",
            "/v1.12/containers/x/json",
            false,
            "own: versions of the API below 1.24 are for full alone",
            "they take a container's settings with its start",
        ),
    ] {
        let ruling = ask(&policies, "own", method, target);
        assert_eq!(
            (ruling.allowed, &*ruling.by, &*ruling.reason),
            (allowed, by, reason)
        );
    }
    assert_eq!(&*ask(&policies, "root", "POST", "/build").by, "full");
    let shown = policies.show("own").unwrap();
    assert!(
        shown.contains("\n    3  deny * /secrets/**                 no\n"),
        "{shown}"
    );
    assert!(policies.show("full").is_some() && policies.show("other").is_none());
}

#[test]
fn a_file_of_policies_is_read_strictly() {
    for (text, line, problem) in [
        ("", 1, "no policy: [NAME], and rules below it"),
        ("allow GET /a", 1, "a rule before the first header [NAME]"),
        ("\n[full]\n", 2, "policy [full] is built in"),
        ("[read-only]", 1, "policy [read-only] is built in"),
        ("[only-full]", 1, "policy [only-full] is built in"),
        ("[a]\n\n[a]", 3, "policy [a] again, first in line 1"),
        (
            "[a b]",
            1,
            "not the header of a policy: [NAME], of at most 64 letters, digits, `-`, `_` and `.`",
        ),
        (
            "[a] x",
            1,
            "not the header of a policy: [NAME], of at most 64 letters, digits, `-`, `_` and `.`",
        ),
        ("[a]\nallow GET /\u{7}", 2, "a control character"),
        (
            "[a]\nallow GET a",
            2,
            "`a`: the path does not begin with a /",
        ),
        (
            "[a]\nallow POST /containers/*",
            2,
            "`allow POST /containers/*` would allow what only the policy full may (names a \
             directory of the host): put `deny * /containers/**/checkpoints` in a line before it, or say \
             more closely what is allowed",
        ),
    ] {
        let expected = (line, problem.to_string());
        assert_eq!(
            Policies::built_in().add(text, "f").unwrap_err(),
            expected,
            "{text}"
        );
    }
    let many = format!("[a]\n{}", "deny * /\n".repeat(257));
    assert_eq!(Policies::built_in().add(&many, "f").unwrap_err().0, 258);
    let many: String = (0..65).map(|number| format!("[p{number}]\n")).collect();
    assert_eq!(Policies::built_in().add(&many, "f").unwrap_err().0, 65);
}

#[test]
fn what_only_full_may_is_allowed_by_no_file() {
    for open in [
        "allow * /containers/**",
        "allow POST /commit",
        "allow POST /plugins/pull",
        "allow POST /swarm/join",
        "allow GET /swarm",
        "allow POST /grpc",
        "allow POST /session",
        "allow GET /**",
        "allow * /**",
        "allow POST /*/create",
        "allow POST /containers/**",
        "allow PUT /volumes/*",
    ] {
        let text = format!("[own]\n{open}\n");
        let (line, problem) = Policies::built_in().add(&text, "f").unwrap_err();
        assert_eq!(line, 2, "{open}");
        assert!(problem.contains("only the policy full may"), "{problem}");
    }
    // With what is closed in front of it a wide rule is taken, and means what it says.
    let closed = "deny * /swarm/**\ndeny * /session/**\ndeny * /grpc/**\ndeny * /debug/**\n\
                  deny * /containers/**/checkpoints\n";
    let policies = policies(&format!("[own]\n{closed}allow GET /**\n"));
    assert!(ask(&policies, "own", "GET", "/secrets").allowed);
    assert!(!ask(&policies, "own", "GET", "/swarm/unlockkey").allowed);
    assert!(!ask(&policies, "own", "POST", "/containers/x/kill").allowed);
}

#[test]
fn users_have_one_policy_each() {
    let mut policies = policies("");
    assert_eq!(
        policies.assign("root", FULL),
        Err(AssignError::Again("root".into()))
    );
    assert_eq!(
        policies.assign("x", "none").unwrap_err().to_string(),
        "`none` is no policy: there are full, read-only, monitor"
    );
    assert!(policies.is_assigned("root") && !policies.is_assigned("anybody"));
}

fn body_question<'q>(target: &'q Target<'q>) -> Question<'q> {
    Question {
        has_body: true,
        has_json: true,
        ..Question::plain("POST", target)
    }
}

#[test]
fn what_a_rule_allows_is_judged_by_its_query_and_body() {
    let policies = policies(
        "[own]\nallow POST /containers/create\nallow POST /build\npermit binds /srv/a # data\n",
    );
    let target = Target::parse("/v1.41/containers/create?name=x").unwrap();
    let ruling = policies.judge("own", &body_question(&target));
    assert!(ruling.allowed, "{ruling:?}");
    let trial = ruling.trial.unwrap();
    assert!(
        trial
            .judge(br#"{"HostConfig":{"Binds":["/srv/a:/a"]}}"#)
            .is_ok()
    );
    let denial = trial
        .judge(br#"{"HostConfig":{"Binds":["/srv/b:/a"]}}"#)
        .unwrap_err();
    assert_eq!(
        (denial.allowed, &*denial.by),
        (false, "own: HostConfig.Binds needs \"permit binds /srv/b\"")
    );
    let text = Question {
        has_json: false,
        ..body_question(&target)
    };
    let denial = policies.judge("own", &text);
    let by = "own: a body that is judged has to be application/json, without Content-Encoding";
    assert_eq!((denial.allowed, &*denial.by), (false, by));
    let denial = ask(&policies, "own", "POST", "/build?networkmode=host");
    let by = "own: networkmode needs \"permit host-network\"";
    assert_eq!((denial.allowed, &*denial.by), (false, by));
    assert!(ask(&policies, "own", "POST", "/build?t=x").trial.is_none());
    let full = policies.judge("root", &text);
    assert!(full.allowed && full.trial.is_none());
    let shown = policies.show("own").unwrap();
    assert!(shown.contains("\n    4  permit binds /srv/a\n"), "{shown}");
}

#[test]
fn an_exec_is_started_by_who_made_it_under_the_same_policy() {
    const RULES: &str = "[own]\nallow POST /containers/*/exec\nallow POST /exec/*/start\n\
                         allow POST /exec/*/resize\n";
    let with = |text: &str| {
        let mut policies = policies(text);
        policies.assign("other", "own").unwrap();
        policies
    };
    let before = with(RULES);
    let start = Target::parse("/exec/a1/start").unwrap();
    let denied = before.judge("own", &body_question(&start));
    assert!(
        denied.by.contains("only execs may be started"),
        "{denied:?}"
    );
    assert!(!ask(&before, "own", "POST", "/exec/a1/resize?h=1&w=1").allowed);

    let make = Target::parse("/containers/x/exec").unwrap();
    let trial = before.judge("own", &body_question(&make)).trial.unwrap();
    assert!(trial.makes_exec());
    trial.remember(&Arc::from("own"), b"{\"message\":\"no\"}");
    trial.remember(&Arc::from("own"), b"{\"Id\":\"a1\"}\n");
    let upgraded = Question {
        upgrade: Some("tcp"),
        ..body_question(&start)
    };
    assert!(before.judge("own", &upgraded).allowed);
    assert!(ask(&before, "own", "POST", "/exec/a1/resize?h=1&w=1").allowed);
    assert!(!before.judge("other", &upgraded).allowed);
    let other = Question {
        upgrade: Some("h2c"),
        ..body_question(&start)
    };
    assert!(!before.judge("own", &other).allowed);

    // Read again, the same words are the same policy, and others are not.
    for (text, known) in [
        (RULES.to_string(), true),
        (RULES.to_string() + "permit privileged\n", false),
        (RULES.to_string() + "deny GET /info\n", false),
    ] {
        let mut after = with(&text);
        assert!(!after.judge("own", &upgraded).allowed);
        after.succeed(&before);
        assert_eq!(after.judge("own", &upgraded).allowed, known, "{text}");
    }
}
