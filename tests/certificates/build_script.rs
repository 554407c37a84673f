//! The build script: one root for all builds of a checkout, or the builder's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::support::{Scratch, must, text};

#[path = "../../src/tls/kept.rs"]
mod kept;

/// The machine that builds, and another that is built for.
const HOST: &str = "HOST";
const BOARD: &str = "BOARD";

const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by cargo.\n";

#[test]
fn builds_that_come_at_once_make_one_root() {
    let dir = Scratch::new();
    let path = dir.path("haven-root.pem");
    let made = AtomicU32::new(0);
    let read: Vec<Vec<u8>> = thread::scope(|scope| {
        let builds: Vec<_> = (0..16)
            .map(|build| {
                let (path, made) = (&path, &made);
                scope.spawn(move || {
                    let make = || {
                        made.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        Ok(format!("root of build {build}"))
                    };
                    kept::read_or_make(path, make).unwrap()
                })
            })
            .collect();
        builds
            .into_iter()
            .map(|build| build.join().unwrap())
            .collect()
    });
    assert_eq!(made.into_inner(), 1);
    assert!(read.iter().all(|root| *root == read[0]));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let left: Vec<_> = fs::read_dir(dir.path("")).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "the root and its lock: {left:?}");
}

#[test]
fn a_root_that_cannot_be_made_leaves_nothing_behind() {
    let dir = Scratch::new();
    let path = dir.path("haven-root.pem");
    assert!(kept::read_or_make(&path, || Err("no".to_owned())).is_err());
    assert!(!path.exists());
    assert_eq!(
        kept::read_or_make(&path, || Ok("root".to_owned())).unwrap(),
        b"root"
    );
}

/// The build script that built what is tested here: Cargo keeps it beside `OUT_DIR`'s package.
fn script() -> PathBuf {
    let builds = Path::new(env!("OUT_DIR")).ancestors().nth(2).unwrap();
    fs::read_dir(builds)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("haven-agent-")
        })
        .map(|path| path.join("build-script-build"))
        .filter(|path| path.exists())
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .expect("the build script")
}

/// Runs the build script for an `OUT_DIR` as Cargo makes it, with variables of the builder's.
fn build(out_dir: &str, target: &str, variables: &[(&str, &Path)], dir: &Scratch) -> Output {
    let out_dir = dir.path(out_dir);
    fs::create_dir_all(&out_dir).unwrap();
    Command::new(script())
        .env_remove("HAVEN_ROOT_CERT")
        .env_remove("HAVEN_ROOT_KEY")
        .env("OUT_DIR", out_dir)
        .env("HOST", HOST)
        .env("TARGET", target)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The certificate and key that a build embeds.
fn embedded(out_dir: &str, dir: &Scratch) -> (Vec<u8>, Vec<u8>) {
    let read = |name| fs::read(dir.path(out_dir).join(name)).unwrap();
    (read("root_cert.der"), read("root_key.der"))
}

#[test]
fn all_targets_and_profiles_share_a_root_until_the_checkout_is_cleaned() {
    const OUT_DIRS: [(&str, &str); 4] = [
        (HOST, "target/debug/build/haven-agent-1/out"),
        (HOST, "target/release/build/haven-agent-2/out"),
        (BOARD, "target/BOARD/debug/build/haven-agent-3/out"),
        (BOARD, "target/BOARD/release/build/haven-agent-4/out"),
    ];
    let dir = Scratch::new();
    let build_all = || {
        thread::scope(|scope| {
            for (target, out_dir) in OUT_DIRS {
                let dir = &dir;
                scope.spawn(move || {
                    let output = build(out_dir, target, &[], dir);
                    assert!(output.status.success(), "{}", text(&output));
                });
            }
        });
        let roots = OUT_DIRS.map(|(_, out_dir)| embedded(out_dir, &dir));
        assert!(roots.iter().all(|root| *root == roots[0]));
        roots[0].clone()
    };
    let first = build_all();
    assert_eq!(first, build_all(), "kept");
    fs::remove_dir_all(dir.path("target")).unwrap();
    assert_ne!(first, build_all(), "a clean build makes a new one");
}

#[test]
fn the_root_is_kept_in_the_target_directory_itself() {
    let dir = Scratch::new();
    dir.write("tagged/CACHEDIR.TAG", TAG);
    dir.write(
        "other/CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55\n",
    );
    for (kept_in, target, out_dir) in [
        ("plain", HOST, "plain/debug/build/haven-agent-1/out"),
        (
            "plain",
            BOARD,
            "plain/BOARD/release/build/haven-agent-1/out",
        ),
        ("tagged", HOST, "tagged/HOST/debug/build/haven-agent-1/out"),
        // Target directories that are named like a target.
        (
            "other/HOST",
            HOST,
            "other/HOST/debug/build/haven-agent-1/out",
        ),
        ("BOARD", BOARD, "BOARD/BOARD/debug/build/haven-agent-1/out"),
        // Cargo's coming layout; no layout at all.
        ("plain", BOARD, "plain/BOARD/debug/build/haven-agent/1/out"),
        ("elsewhere", HOST, "elsewhere"),
    ] {
        let full = |path: &str| dir.path(path);
        let place = kept::place(&full(out_dir), HOST, target);
        assert_eq!(place, full(kept_in).join("haven-root.pem"), "{out_dir}");
    }
}

/// A root of the builder's in `root.pem` and `root.key`, another key in `other.key`.
fn builders_root(dir: &Scratch) {
    must(
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=shared -days 9 -keyout root.key -out root.pem && \
         openssl ecparam -name prime256v1 -genkey -noout -out sec1.key && \
         openssl pkcs8 -topk8 -nocrypt -in sec1.key -out other.key && \
         openssl rsa -traditional -in root.key -out pkcs1.key && \
         openssl req -x509 -key root.key -subj /CN=leaf -days 9 \
         -addext basicConstraints=critical,CA:FALSE -out leaf.pem && \
         openssl x509 -in root.pem -outform DER -out root.der",
        dir,
    );
}

#[test]
fn the_builders_root_is_embedded() {
    let dir = Scratch::new();
    builders_root(&dir);
    let (cert, key) = (dir.path("root.pem"), dir.path("root.key"));
    let variables = [("HAVEN_ROOT_CERT", &*cert), ("HAVEN_ROOT_KEY", &*key)];
    let output = build("out", HOST, &variables, &dir);
    assert!(output.status.success(), "{}", text(&output));
    for watched in [&cert, &key] {
        let line = format!("cargo::rerun-if-changed={}", watched.display());
        assert!(text(&output).contains(&line), "{line}");
    }
    assert_eq!(
        embedded("out", &dir).0,
        fs::read(dir.path("root.der")).unwrap()
    );
}

#[test]
fn a_builders_root_that_cannot_be_used_stops_the_build() {
    let dir = Scratch::new();
    builders_root(&dir);
    for (cert, key, said) in [
        (
            Some("root.pem"),
            None,
            "HAVEN_ROOT_CERT is set and HAVEN_ROOT_KEY is not",
        ),
        (
            None,
            Some("root.key"),
            "HAVEN_ROOT_KEY is set and HAVEN_ROOT_CERT is not",
        ),
        (Some("root.pem"), Some("other.key"), "is not the key of"),
        (
            Some("root.pem"),
            Some("pkcs1.key"),
            "openssl pkcs8 -topk8 -nocrypt -in",
        ),
        (
            Some("root.pem"),
            Some("sec1.key"),
            "openssl pkcs8 -topk8 -nocrypt -in",
        ),
        (
            Some("root.der"),
            Some("root.key"),
            "openssl x509 -inform DER -in",
        ),
        (Some("leaf.pem"), Some("root.key"), "CA:TRUE"),
        (Some("missing"), Some("root.key"), "cannot be read"),
        (Some("root.key"), Some("root.key"), "holds no certificate"),
    ] {
        let paths: Vec<(&str, PathBuf)> = [("HAVEN_ROOT_CERT", cert), ("HAVEN_ROOT_KEY", key)]
            .into_iter()
            .filter_map(|(variable, file)| Some((variable, dir.path(file?))))
            .collect();
        let variables: Vec<(&str, &Path)> =
            paths.iter().map(|(name, path)| (*name, &**path)).collect();
        let output = build("out", HOST, &variables, &dir);
        assert!(!output.status.success(), "{cert:?} {key:?}");
        let error = text(&output);
        assert!(
            error.contains("cargo::error=") && error.contains(said),
            "{said}\n{error}"
        );
    }
}
