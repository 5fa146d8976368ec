use super::*;

#[test]
fn servers_and_keyspace_are_told_apart() {
    for (url, servers, keyspace) in [
        ("cql://a:1,b/danmu", &["a:1", "b:9042"][..], "danmu"),
        (
            "cql://[::1]:19042,[::2]/k_2",
            &["[::1]:19042", "[::2]:9042"],
            "k_2",
        ),
    ] {
        let address = CqlAddress::parse(url).unwrap();
        assert_eq!(address.servers, servers, "{url}");
        assert_eq!(address.keyspace, keyspace, "{url}");
        assert_eq!(CqlAddress::parse(&address.to_string()).unwrap(), address);
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for url in [
        "redis://a/danmu",
        "cql://a",
        "cql://a/",
        "cql://a/Danmu",
        "cql://a/1danmu",
        "cql://a/danmu/x",
        "cql://a,/danmu",
        "cql://a:/danmu",
        "cql://a:0/danmu",
        "cql://a:99999/danmu",
        "cql://::1/danmu",
        "cql:///danmu",
    ] {
        assert!(CqlAddress::parse(url).is_err(), "{url}");
    }
}

#[test]
fn a_password_is_not_repeated() {
    let refused = CqlAddress::parse("cql://ann:secret@a/danmu").unwrap_err();
    assert!(!refused.contains("secret"), "{refused}");
}
