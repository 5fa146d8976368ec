use std::io::Write as _;

use expect_test::{Expect, expect};

use super::{ConfigArgs, load};

/// What the file, the variables and the flags give together: the TOML, or the problems and the code.
fn check(file: &str, variables: &[(&str, &str)], flags: ConfigArgs, expected: Expect) {
    let mut toml = tempfile::NamedTempFile::new().expect("a file");
    toml.write_all(file.as_bytes()).expect("a written file");
    let mut args = flags;
    args.stores.config = Some(toml.path().to_owned());
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let text = match load(&args, variables) {
        Ok(config) => config.to_toml(),
        Err(problems) => format!("{problems}\nexit {}\n", problems.exit_code()),
    };
    let path = toml.path().display().to_string();
    expected.assert_eq(&text.replace(&path, "FILE"));
}

fn flags(set: impl FnOnce(&mut ConfigArgs)) -> ConfigArgs {
    let mut args = ConfigArgs::default();
    set(&mut args);
    args
}

#[test]
fn nothing_given_is_the_defaults() {
    check(
        "",
        &[("PATH", "/bin"), ("DANMU_TOKEN", "x")],
        flags(|_| {}),
        expect![[r#"
            address_rate = "2000/10s"
            admin = "127.0.0.1:8081"
            allow_origin = []
            data = "./danmu-data"
            history = "embedded:./danmu-data/history"
            insecure = false
            likes_rate = "20/10s"
            listen = "127.0.0.1:8080"
            log = "embedded:./danmu-data/log"
            log_format = "text"
            moderation_rate = "200/10s"
            private_reads = false
            roles = "ingest,windows,history,api"
            room_rate = "50000/10s"
            trust_forwarded = false
            user_rate = "20/10s"
            windows = "memory:"
        "#]],
    );
}

#[test]
fn flags_go_before_variables_before_the_file() {
    check(
        "data = 'from-file'\nlisten = '127.0.0.1:1'\nadmin = '127.0.0.1:1'\n",
        &[
            ("DANMU_LISTEN", "127.0.0.1:2"),
            ("DANMU_ADMIN", "127.0.0.1:2"),
        ],
        flags(|args| args.admin = Some("127.0.0.1:3".into())),
        expect![[r#"
            address_rate = "2000/10s"
            admin = "127.0.0.1:3"
            allow_origin = []
            data = "from-file"
            history = "embedded:from-file/history"
            insecure = false
            likes_rate = "20/10s"
            listen = "127.0.0.1:2"
            log = "embedded:from-file/log"
            log_format = "text"
            moderation_rate = "200/10s"
            private_reads = false
            roles = "ingest,windows,history,api"
            room_rate = "50000/10s"
            trust_forwarded = false
            user_rate = "20/10s"
            windows = "memory:"
        "#]],
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    check(
        "lissten = 'x'\nlog = 'papyrus:a'\nroles = ['api', 'poet']\n[windows]\na = 1\n",
        &[("DANMU_COLOUR", "red"), ("DANMU_HISTORY", "memory:")],
        flags(|args| args.listen = Some("here".into())),
        expect![[r#"
            the configuration is not usable:
              lissten (FILE): is no setting
              windows (FILE): is neither text nor a list of it
              colour (DANMU_COLOUR): is no setting
              listen (--listen): "here" is no address like 127.0.0.1:8080
              roles (FILE): "poet" is no role: they are ingest, windows, history, api
              log (FILE): there is no engine "papyrus"
              history (DANMU_HISTORY): memory: would lose what was accepted: it needs embedded:DIR
            exit 78
        "#]],
    );
}

#[test]
fn wrong_flags_alone_are_wrong_usage() {
    check(
        "",
        &[],
        flags(|args| args.stores.windows = Some("floppy:a".into())),
        expect![[r#"
            the configuration is not usable:
              windows (--windows): there is no engine "floppy"
            exit 64
        "#]],
    );
}

#[test]
fn beyond_loopback_needs_consent() {
    let everywhere = |args: &mut ConfigArgs| args.listen = Some("0.0.0.0:80".into());
    check(
        "",
        &[],
        flags(everywhere),
        expect![[r#"
            the configuration is not usable:
              listen (--listen): is not loopback, and without tokens everybody may do everything there: a token secret or --jwks closes it, --insecure allows it
            exit 64
        "#]],
    );
    let consent = flags(|args| {
        everywhere(args);
        args.insecure = true;
    });
    check(
        "",
        &[],
        consent,
        expect![[r#"
            address_rate = "2000/10s"
            admin = "127.0.0.1:8081"
            allow_origin = []
            data = "./danmu-data"
            history = "embedded:./danmu-data/history"
            insecure = true
            likes_rate = "20/10s"
            listen = "0.0.0.0:80"
            log = "embedded:./danmu-data/log"
            log_format = "text"
            moderation_rate = "200/10s"
            private_reads = false
            roles = "ingest,windows,history,api"
            room_rate = "50000/10s"
            trust_forwarded = false
            user_rate = "20/10s"
            windows = "memory:"
        "#]],
    );
}

#[test]
fn one_role_alone_cannot_share_embedded_engines() {
    check(
        "roles = 'ingest,api'",
        &[],
        flags(|_| {}),
        expect![[r#"
        the configuration is not usable:
          roles (FILE): embedded:./danmu-data/log is one process's own, which needs the roles ingest, windows, history; windows is missing
          roles (FILE): memory: is one process's own, which needs the roles windows, api; windows is missing
          roles (FILE): embedded:./danmu-data/history is one process's own, which needs the roles windows, history, api; windows is missing
        exit 78
    "#]],
    );
}

#[test]
fn the_printed_configuration_gives_itself_again() {
    let args = flags(|args| args.stores.data = Some("somewhere".into()));
    let printed = load(&args, []).expect("a configuration").to_toml();
    check(
        &printed,
        &[],
        ConfigArgs::default(),
        expect![[r#"
            address_rate = "2000/10s"
            admin = "127.0.0.1:8081"
            allow_origin = []
            data = "somewhere"
            history = "embedded:somewhere/history"
            insecure = false
            likes_rate = "20/10s"
            listen = "127.0.0.1:8080"
            log = "embedded:somewhere/log"
            log_format = "text"
            moderation_rate = "200/10s"
            private_reads = false
            roles = "ingest,windows,history,api"
            room_rate = "50000/10s"
            trust_forwarded = false
            user_rate = "20/10s"
            windows = "memory:"
        "#]],
    );
}

/// A file with `text`, and its path.
fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a written file");
    let path = file.path().display().to_string();
    (file, path)
}

const SECRET: &str = "a secret of at least thirty-two bytes";

#[test]
fn tokens_open_the_way_beyond_loopback_and_secrets_are_not_printed() {
    let (_file, path) = file(&format!("{SECRET}\n"));
    let args = flags(|args| {
        args.listen = Some("0.0.0.0:80".into());
        args.token_secret_file = Some(path);
        args.private_reads = true;
        args.allow_origin = vec!["https://a.example".into(), "https://b.example".into()];
    });
    check(
        "",
        &[("DANMU_TOKEN_SECRET_PREVIOUS", SECRET)],
        args,
        expect![[r#"
            address_rate = "2000/10s"
            admin = "127.0.0.1:8081"
            allow_origin = ["https://a.example", "https://b.example"]
            data = "./danmu-data"
            history = "embedded:./danmu-data/history"
            insecure = false
            likes_rate = "20/10s"
            listen = "0.0.0.0:80"
            log = "embedded:./danmu-data/log"
            log_format = "text"
            moderation_rate = "200/10s"
            private_reads = true
            roles = "ingest,windows,history,api"
            room_rate = "50000/10s"
            trust_forwarded = false
            user_rate = "20/10s"
            windows = "memory:"
        "#]],
    );
}

#[test]
fn what_is_wrong_with_tokens_is_told_without_them() {
    check(
        "token_secret_previous = 'short'\nallow_origin = ['*', 'https://a.example']\n",
        &[("DANMU_TOKEN_SECRET", "short too")],
        flags(|_| {}),
        expect![[r#"
            the configuration is not usable:
              token_secret (DANMU_TOKEN_SECRET): has fewer than 32 bytes
              token_secret_previous (FILE): has fewer than 32 bytes
              allow_origin (FILE): "*" is no origin like https://example.org
            exit 78
        "#]],
    );
    let (_file, path) = file("{}");
    check(
        "private_reads = true\n",
        &[("DANMU_TOKEN_SECRET_PREVIOUS", SECRET)],
        flags(|_| {}),
        expect![[r#"
            the configuration is not usable:
              token_secret_previous (DANMU_TOKEN_SECRET_PREVIOUS): is the one before token_secret, which is missing
            exit 78
        "#]],
    );
    check(
        "private_reads = true\n",
        &[],
        flags(|_| {}),
        expect![[r#"
            the configuration is not usable:
              private_reads (FILE): needs tokens: a token secret or jwks
            exit 78
        "#]],
    );
    let args = flags(|args| args.jwks = Some(path.clone()));
    let unusable = load(&args, []).expect_err("no key set").to_string();
    expect![[r#"
        the configuration is not usable:
          jwks (--jwks): JWKS: it is no JWK set"#]]
    .assert_eq(&unusable.replace(&path, "JWKS"));
}

#[test]
fn a_secret_and_a_key_set_exclude_each_other() {
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let (_file, path) = file(key);
    let args = flags(|args| args.jwks = Some(path.clone()));
    let config = load(&args, []).expect("a key set alone is enough");
    assert!(config.access.tokens.is_some());
    check(
        "",
        &[("DANMU_TOKEN_SECRET", SECRET)],
        args,
        expect![[r#"
            the configuration is not usable:
              jwks (--jwks): is given beside a token secret
            exit 64
        "#]],
    );
}

#[test]
fn a_rate_is_a_quota_in_a_window_or_off() {
    check(
        "user_rate = 'often'\nroom_rate = 'off'\n",
        &[("DANMU_LIKES_RATE", "0/1s")],
        flags(|args| args.address_rate = Some("5/1s".into())),
        expect![[r#"
            the configuration is not usable:
              user_rate (FILE): "often" is no rate like 20/10s
              likes_rate (DANMU_LIKES_RATE): "0/1s" is no rate like 20/10s
            exit 78
        "#]],
    );
    let args = flags(|args| {
        args.user_rate = Some("off".into());
        args.likes_rate = Some("5/1s".into());
    });
    let printed = load(&args, []).expect("a configuration").to_toml();
    assert!(printed.contains("user_rate = \"off\""), "{printed}");
    assert!(printed.contains("likes_rate = \"5/1s\""), "{printed}");
}
