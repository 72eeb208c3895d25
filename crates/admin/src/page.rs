//! The status page: three files, embedded; it asks the API like everybody else.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

pub(crate) const HTML_TYPE: &str = "text/html; charset=utf-8";
pub(crate) const CSS_TYPE: &str = "text/css; charset=utf-8";
pub(crate) const JS_TYPE: &str = "text/javascript; charset=utf-8";

pub(crate) fn html() -> impl IntoResponse {
    ([(CONTENT_TYPE, HTML_TYPE)], include_str!("page/page.html"))
}

pub(crate) fn css() -> impl IntoResponse {
    ([(CONTENT_TYPE, CSS_TYPE)], include_str!("page/page.css"))
}

pub(crate) fn js() -> impl IntoResponse {
    ([(CONTENT_TYPE, JS_TYPE)], include_str!("page/page.js"))
}
