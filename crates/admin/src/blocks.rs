//! Blocked networks: listing, blocking, lifting.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control::{BlockOrder, BlockStatus, Handle};
use policy::block::{self, BLOCKS_MAX, IpNet};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::Office;
use crate::refusal::{self, Refusal};
use crate::view::unix_ms;

/// Bytes of an order: the most networks that can be blocked, as long as they can be.
pub(crate) const ORDER_BYTES: usize = 8 << 20;
/// Characters of a reason or an author.
const TEXT_CHARACTERS: usize = 200;
/// The longest block: ten years.
const LONGEST_MS: u64 = 3_650 * 86_400_000;

/// `GET /api/v1/blocks`, and what changed by the others.
#[derive(Serialize)]
struct Blocks {
    blocks: Vec<Block>,
    limit: usize,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Block {
    network: String,
    reason: String,
    author: String,
    since_ms: u64,
    until_ms: Option<u64>,
    refused: u64,
}

impl From<BlockStatus> for Block {
    fn from(block: BlockStatus) -> Self {
        Self {
            network: block.network.to_string(),
            reason: block.reason,
            author: block.author,
            since_ms: unix_ms(block.since),
            until_ms: block.until.map(unix_ms),
            refused: block.refused,
        }
    }
}

fn answer(blocks: Vec<BlockStatus>, notes: Vec<String>) -> Response {
    let blocks = blocks.into_iter().map(Block::from).collect();
    Json(Blocks { blocks, limit: BLOCKS_MAX, notes }).into_response()
}

/// `POST /api/v1/blocks`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    networks: Vec<String>,
    #[serde(default)]
    for_ms: Option<u64>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    author: Option<String>,
}

/// `DELETE /api/v1/blocks`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lift {
    network: Option<String>,
    all: Option<bool>,
}

/// The schema of an order, for the OpenAPI document.
pub(crate) fn order_schema() -> Value {
    let text = |meaning: &str| json!({ "type": "string", "maxLength": TEXT_CHARACTERS, "description": meaning });
    let networks = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": BLOCKS_MAX,
        "description": "networks as 203.0.113.0/24 or 2001:db8::/48, or single addresses; all are blocked or none" });
    let time = json!({ "type": ["integer", "null"], "minimum": 1, "maximum": LONGEST_MS,
        "description": "for how many milliseconds; else until the block is lifted or the process ends" });
    json!({
        "type": "object",
        "properties": { "networks": networks, "for_ms": time, "reason": text("why"), "author": text("who says so") },
        "required": ["networks"],
        "additionalProperties": false,
    })
}

pub(crate) async fn list(State(office): State<Office>) -> Response {
    answer(office.handle.blocks(), Vec::new())
}

pub(crate) async fn block(State(office): State<Office>, order: Result<Json<Order>, JsonRejection>) -> Response {
    let order = match order {
        Ok(Json(order)) => order,
        Err(JsonRejection::BytesRejection(_)) => return Refusal::Body.into_response(),
        Err(rejection) => return bad(&rejection.body_text(), "GET /api/v1/openapi.json has the schema BlockOrder"),
    };
    let order = match read(order) {
        Ok(order) => order,
        Err(response) => return *response,
    };
    match office.handle.block(&order) {
        Ok(blocks) => answer(blocks, notes(&office.handle, &order.networks)),
        Err(full) => refusal::response(
            StatusCode::CONFLICT,
            "blocks-full",
            &format!("there are {} blocks already, and at most {BLOCKS_MAX} may be", full.blocks),
            "lift some with DELETE /api/v1/blocks, or block wider networks",
        ),
    }
}

fn read(order: Order) -> Result<BlockOrder, Box<Response>> {
    let networks = order.networks.iter().map(|text| parse(text)).collect::<Result<Vec<IpNet>, _>>()?;
    if networks.is_empty() {
        return Err(bad("no network is named", "name one in `networks`, such as 203.0.113.0/24").into());
    }
    if order.for_ms.is_some_and(|ms| !(1..=LONGEST_MS).contains(&ms)) {
        return Err(bad("`for_ms` is 0 or more than ten years", "leave it out for a block without an end").into());
    }
    Ok(BlockOrder {
        networks,
        time: order.for_ms.map(Duration::from_millis),
        reason: short(order.reason, "reason")?,
        author: short(order.author, "author")?,
    })
}

fn short(text: Option<String>, name: &str) -> Result<String, Box<Response>> {
    let text = text.unwrap_or_default();
    if text.chars().count() <= TEXT_CHARACTERS {
        return Ok(text);
    }
    Err(bad(&format!("`{name}` is too long"), &format!("write at most {TEXT_CHARACTERS} characters")).into())
}

fn parse(text: &str) -> Result<IpNet, Box<Response>> {
    block::parse(text).map_err(|wrong| bad(&wrong.message, &wrong.remedy).into())
}

fn bad(message: &str, remedy: &str) -> Response {
    refusal::response(StatusCode::BAD_REQUEST, "order-refused", message, remedy)
}

/// What somebody may not have meant.
fn notes(handle: &Handle, networks: &[IpNet]) -> Vec<String> {
    let mut notes = Vec::new();
    for network in networks {
        for listener in handle.listeners_trusting(*network) {
            notes.push(format!(
                "{network} holds trusted proxies of listener {listener}: all who come through them are refused"
            ));
        }
    }
    notes
}

pub(crate) async fn lift(State(office): State<Office>, query: Result<Query<Lift>, QueryRejection>) -> Response {
    let network = match query {
        Ok(Query(Lift { network: Some(network), all: None })) => network,
        Ok(Query(Lift { network: None, all: Some(true) })) => return answer(office.handle.unblock_all(), Vec::new()),
        _ => return Refusal::Query.into_response(),
    };
    let network = match parse(&network) {
        Ok(network) => network,
        Err(response) => return *response,
    };
    match office.handle.unblock(network) {
        Some(lifted) => answer(vec![lifted], Vec::new()),
        None => not_blocked(&office.handle, network),
    }
}

fn not_blocked(handle: &Handle, network: IpNet) -> Response {
    let around: Vec<String> = handle.blocks_around(network).iter().map(IpNet::to_string).collect();
    let remedy = match &around[..] {
        [] => "`evenkeel block` or GET /api/v1/blocks lists what is".to_owned(),
        around => format!("it lies in {}, which can be lifted", around.join(" and ")),
    };
    refusal::response(StatusCode::NOT_FOUND, "not-blocked", &format!("{network} is not blocked as such"), &remedy)
}
