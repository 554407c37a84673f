use super::*;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

fn pairs(text: &str) -> Result<Vec<(String, String)>, IniError> {
    let entries = parse(text.as_bytes())?;
    let pairs = entries.into_iter().map(|entry| (entry.key, entry.value));
    Ok(pairs.collect::<BTreeMap<_, _>>().into_iter().collect())
}

fn error(text: &str) -> (usize, String) {
    let error = parse(text.as_bytes()).unwrap_err();
    (error.line, error.problem)
}

#[test]
fn the_documented_sample_is_read() {
    let text = "[main]\ndocker = 172.31.0.12:2375\nmaster = 172.31.0.3:8762\ntimeout = 10\nlog_level = 2\n";
    let expected = [
        ("docker", "172.31.0.12:2375"),
        ("log_level", "2"),
        ("master", "172.31.0.3:8762"),
        ("timeout", "10"),
    ];
    let expected: Vec<_> = expected.map(|(k, v)| (k.to_string(), v.to_string())).into();
    assert_eq!(pairs(text).unwrap(), expected);
    // As it stands in the help text, indented; with a byte order mark and Windows line ends.
    let indented = text.replace("\n", "\n  ").replace("[main]", "  [main]");
    assert_eq!(pairs(&indented).unwrap(), expected);
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(pairs(&windows).unwrap(), expected);
}

#[test]
fn an_entry_knows_its_line() {
    let entries = parse(b"; first\n\n[main]\n# c\nsecret : x\n").unwrap();
    assert_eq!(entries[0].line, 5);
}

#[test]
fn mistakes_are_named_with_their_line_and_without_the_value() {
    for (text, line, what) in [
        ("[other]\n", 1, "unknown section [other], not [main]"),
        (
            "[main]\n[main]\n",
            2,
            "section [main] again, first in line 1",
        ),
        (
            "secret = x\n",
            1,
            "a setting before the section header [main]",
        ),
        (
            "[main]\nhunter2\n",
            2,
            "neither `key = value` nor a section nor a comment",
        ),
        ("[main]\n= hunter2\n", 2, "no key before the value"),
        (
            "[main]\nsecret=a\n\nSECRET=b\n",
            4,
            "key `secret` again, first in line 2",
        ),
        (
            "[main]\nsecret=hunter2%\n",
            2,
            "secret: a lone `%`: write `%%` for a percent sign",
        ),
        (
            "[main]\nsecret=%(none)s\n",
            2,
            "secret: %(…)s names a key that is not there",
        ),
        (
            "[main]\nsecret=%(secret)s\n",
            2,
            "secret: %(…)s nests deeper than 10",
        ),
        ("[main]\nsecret=a\0b\n", 2, "a control character"),
    ] {
        assert_eq!(error(text), (line, what.to_string()), "{text:?}");
    }
    let error = parse(b"[main]\nmaster=\xff\n").unwrap_err();
    assert_eq!((error.line, error.problem.as_str()), (2, "not UTF-8"));
}

#[test]
fn interpolation_cannot_grow_without_bound() {
    let mut text = format!("[main]\na={}\n", "x".repeat(1000));
    for (key, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d")] {
        text.push_str(&format!("{key}={}\n", format!("%({of})s").repeat(100)));
    }
    assert!(error(&text).1.ends_with("longer than 65536 bytes"));
}

/// Texts that configparser and this module must read alike: to the same values, or to an error.
const CORPUS: &[&str] = &[
    "",
    "[main]",
    "[main]\nkey=value",
    "[main]\nkey = value with = and : \n",
    "[main]\nkey : value = more\n",
    "[main]\nKEY=Value\n",
    "[main]\nkey=\n",
    "[main]\nkey\n",
    "[main]\nkey=value ; not a comment\n",
    "[main]\nkey=value # neither\n",
    "[main]\n  # comment\n\t; comment\nkey=value\n",
    "[main]\nkey=one\n  two\n  three\n",
    "[main]\nkey=one\n\n  two\n\n\nother=x\n",
    "[main]\nkey=one\n # comment\n  two\n",
    "[main]\nkey=one\n# comment\n  two\n",
    "[main]\n  key=one\n  other=two\n",
    "[main]\n  key=one\n    more\n  other=two\n",
    "  [main]\n  key=one\n",
    "  [main]\nkey=one\n",
    "[main]\n  key=one\nother=two\n   third=x\n",
    "[main]\n  key\n",
    "[main] trailing\nkey=x\n",
    "[]\n",
    "[main\nkey=x\n",
    "key=x\n[main]\n",
    "[main]\nkey=1\nkey=2\n",
    "[main]\nkey=1\nKey=2\n",
    "[main]\nkey=1\n[main]\nother=2\n",
    "[DEFAULT]\nkey=1\n[main]\nother=2\n",
    "[DEFAULT]\nkey=1\n[main]\nkey=2\n",
    "[DEFAULT]\nkey=1\n[DEFAULT]\nother=3\n[main]\n",
    "[DEFAULT]\nkey=1\n[DEFAULT]\nkey=3\n[main]\n",
    "[main]\nkey=1\n[DEFAULT]\nother=2\n",
    "[main]\nkey=50%% of %%s\n",
    "[main]\nkey=50%\n",
    "[main]\nkey=50% x\n",
    "[main]\nkey=%(other)s!\nother=x\n",
    "[main]\nkey=%(OTHER)s%(other)s\nother=x%%y\n",
    "[main]\nkey=%(none)s\n",
    "[main]\nkey=%(key)s\n",
    "[main]\nkey=%(other)\nother=x\n",
    "[main]\nkey=%()s\n",
    "[main]\nkey=%(a)s\na=%(b)s\nb=%(c)s\nc=done\n",
    "[main]\nkey = \tspaced\t \n",
    "[main]\nkey\t=\tx\n",
    "[main]\nkey with spaces = x\n",
    "[main]\n=x\n",
    "[main]\n:x\n",
    "[main]\nkey==x\n",
    "[main]\nkey=:x\n",
    "[main]\nkey:=x\n",
    "[main]\r\nkey=x\r\nother=y\r\n",
    "[main]\rkey=x\rother=y\r",
    "[main]\nkey=ünï\n",
    "[main]\nKéY=x\n",
    "[main]\nkey=\"quoted\"\n",
    "[main]\nkey=x\n[main",
    "[main]\nkey=\n  one\n  two\n",
    "[main]\nkey=x\n   \n\t\n",
    "[main]\nrem comment\n",
    "[main]\nkey=a\n  [main]\n",
    "[main]\n [main]\n",
    "[main]\nkey=a\\\n  b\n",
    "[main]\nkey=x\u{a0}\n",
];

const PYTHON: &str = r#"
import configparser, json, os, sys, tempfile
answers = []
for text in json.load(sys.stdin):
    handle, path = tempfile.mkstemp()
    os.write(handle, text.encode())
    os.close(handle)
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding='utf-8')
        items = dict(parser.items('main')) if parser.has_section('main') else {}
        answers.append('\x1e'.join(k + '\x1f' + v for k, v in sorted(items.items())))
    except configparser.Error as error:
        answers.append('\x15')
    finally:
        os.unlink(path)
sys.stdout.write('\x1d'.join(answers))
"#;

#[test]
fn it_reads_what_pythons_configparser_reads() {
    let python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("PYTHONIOENCODING", "utf-8")
        .spawn();
    let Ok(mut python) = python else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no python3 here to compare with"
        );
        return;
    };
    let texts = miniserde::json::to_string(&CORPUS.to_vec());
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(texts.as_bytes()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = output.split('\x1d').collect();
    assert_eq!(answers.len(), CORPUS.len());
    for (text, theirs) in CORPUS.iter().zip(answers) {
        let ours = pairs(text).map_or("\x15".to_string(), |pairs| {
            let pairs = pairs.into_iter().map(|(k, v)| format!("{k}\x1f{v}"));
            pairs.collect::<Vec<_>>().join("\x1e")
        });
        assert_eq!(ours, theirs, "{text:?}");
    }
}
