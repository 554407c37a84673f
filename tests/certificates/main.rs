//! Certificates, judged by the clients that will meet them: openssl, curl, the docker CLI (Go) and
//! Java, for the built-in root and for one that keytool made.

mod build_script;
mod clients;
mod identity;
mod keys;
mod support;
