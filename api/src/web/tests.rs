use axum::http::Request;
use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

async fn ask(path: &str, headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Bytes) {
    let request = Request::get(path);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(name, *value)
    });
    let request = request.body(Body::empty()).unwrap();
    let (head, body) = router().oneshot(request).await.unwrap().into_parts();
    (
        head.status,
        head.headers,
        body.collect().await.unwrap().to_bytes(),
    )
}

/// The address of the page's script.
async fn script() -> String {
    let (_, _, page) = ask("/", &[]).await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    let script = page.split("src=\"").nth(1).unwrap();
    script[..script.find('"').unwrap()].to_owned()
}

#[tokio::test]
async fn the_page_is_asked_for_anew_and_its_assets_never() {
    let (status, headers, page) = ask("/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CACHE_CONTROL], ASK_ANEW);
    assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(page.starts_with(b"<!doctype html>"));
    let (status, headers, _) = ask(&script().await, &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CACHE_CONTROL], FOR_EVER);
    assert_eq!(headers[CONTENT_TYPE], "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn who_has_it_is_told_so() {
    let (_, headers, _) = ask("/", &[]).await;
    let etag = headers[ETAG].to_str().unwrap();
    for had in [
        etag.to_owned(),
        format!("\"other\", W/{etag}"),
        "*".to_owned(),
    ] {
        let (status, headers, body) = ask("/", &[(IF_NONE_MATCH, &had)]).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED, "{had}");
        assert_eq!(headers[ETAG], etag);
        assert!(body.is_empty());
    }
    let (status, ..) = ask("/", &[(IF_NONE_MATCH, "\"other\"")]).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn who_takes_gzip_gets_it_under_another_tag() {
    let path = script().await;
    let (_, plain_headers, plain) = ask(&path, &[]).await;
    let (_, headers, encoded) = ask(&path, &[(ACCEPT_ENCODING, "br, gzip;q=0.8")]).await;
    assert_eq!(headers[CONTENT_ENCODING], "gzip");
    assert_ne!(headers[ETAG], plain_headers[ETAG]);
    assert!(encoded.len() * 2 < plain.len(), "{} bytes", encoded.len());
    let mut decoded = Vec::new();
    std::io::copy(&mut GzDecoder::new(&encoded[..]), &mut decoded).unwrap();
    assert_eq!(decoded, plain);
    for refusal in ["br", "gzip;q=0", "gzip; q=0.0"] {
        let (_, headers, body) = ask(&path, &[(ACCEPT_ENCODING, refusal)]).await;
        assert!(!headers.contains_key(CONTENT_ENCODING), "{refusal}");
        assert_eq!(body, plain);
    }
}

#[tokio::test]
async fn the_page_needs_nothing_that_its_policy_forbids() {
    let (_, headers, page) = ask("/", &[]).await;
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(
        !page.contains("<style") && !page.contains(" style="),
        "{page}"
    );
    let elsewhere = page.split(['"', '\'']).find(|part| part.contains("//"));
    assert_eq!(elsewhere, None, "the page reaches out");
    for script in page.split("<script").skip(1) {
        assert!(
            script.contains("src=\"/assets/"),
            "an inline script: {script}"
        );
    }
}

#[tokio::test]
async fn whatever_else_is_asked_is_a_problem() {
    let (status, headers, _) = ask("/assets/nothing.js", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
}
