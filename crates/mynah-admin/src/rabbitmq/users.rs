//! Users and permissions. Tags are groups; what users may do is written in rules, so that permissions are only shown.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use super::{Shared, Told, demand_host};
use crate::accounts::{Secret, UserChange, UserView};
use crate::definitions::VIRTUAL_HOST;
use crate::refusal::{Refusal, document};
use crate::request::sent;
use crate::{Asker, Broker};

/// Says that everything is permitted, in the regular expressions of RabbitMQ.
const EVERYTHING: &str = ".*";
/// Says that nothing is.
const NOTHING: &str = "^$";

type OfHost = Path<(String, String)>;

pub(super) fn routes() -> Router<Arc<dyn Broker>> {
    Router::new()
        .route("/api/users", get(users))
        .route("/api/users/bulk-delete", post(remove_all))
        .route("/api/users/{name}", get(user).put(put).delete(remove))
        .route("/api/users/{name}/permissions", get(permissions_of_user))
        .route("/api/permissions", get(permissions))
        .route("/api/permissions/{vhost}/{user}", get(permission).put(permit).delete(forbid))
        .route("/api/vhosts/{vhost}/permissions", get(permissions_of_host))
}

/// The users, for somebody who has logged in.
async fn views(broker: &dyn Broker, asker: Asker) -> Result<Vec<UserView>, Refusal> {
    demand_login(&asker)?;
    Ok(broker.users(&asker).await.ok_or_else(Refusal::early)??)
}

/// Who does not say who it is gets no names of others, and makes no users.
fn demand_login(asker: &Asker) -> Result<(), Refusal> {
    if asker.identity.is_anonymous() {
        let detail = "users are shown to and changed by somebody who has logged in".to_owned();
        return Err(Refusal { status: StatusCode::UNAUTHORIZED, detail });
    }
    Ok(())
}

/// What is kept of the password is shown to nobody.
fn show(user: &UserView) -> Value {
    json!({ "name": user.name, "tags": user.groups, "password_hash": "", "hashing_algorithm": "", "limits": {} })
}

fn show_permissions(user: &UserView) -> Value {
    let pattern = |is_permitted| if is_permitted { EVERYTHING } else { NOTHING };
    json!({
        "user": user.name,
        "vhost": VIRTUAL_HOST,
        "configure": pattern(user.permissions.configure),
        "write": pattern(user.permissions.write),
        "read": pattern(user.permissions.read),
    })
}

fn find<'u>(users: &'u [UserView], name: &str) -> Result<&'u UserView, Refusal> {
    users.iter().find(|user| user.name == name).ok_or_else(Refusal::absent)
}

async fn users(State(broker): Shared, request: Request) -> Told {
    Ok(document(&Value::from_iter(views(&*broker, Asker::of(&request)).await?.iter().map(show))))
}

async fn user(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    Ok(document(&show(find(&views(&*broker, Asker::of(&request)).await?, &name)?)))
}

/// Before RabbitMQ 3.9 tags were a text with commas, since then they are a list.
fn groups(said: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::unusable("tags has to be a list, or text with commas");
    match said.get("tags") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => {
            Ok(text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
        }
        Some(Value::Array(tags)) => {
            tags.iter().map(|tag| tag.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn secret(said: &Map<String, Value>) -> Result<Option<Secret>, Refusal> {
    let word = |name: &str| match said.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(Refusal::unusable(format!("{name} has to be text"))),
    };
    if let Some(password) = word("password")? {
        return Ok(Some(Secret::Password(password.to_owned())));
    }
    let algorithm = word("hashing_algorithm")?.unwrap_or("rabbit_password_hashing_sha256");
    Ok(word("password_hash")?.map(|hash| Secret::Hash(format!("{algorithm}${hash}"))))
}

async fn put(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    let (asker, said) = sent(request).await?;
    demand_login(&asker)?;
    let change = UserChange::Put { name, secret: secret(&said)?, groups: groups(&said)? };
    broker.change_users(&asker, change).await.ok_or_else(Refusal::early)??;
    Ok(StatusCode::CREATED.into_response())
}

async fn remove(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    let asker = Asker::of(&request);
    demand_login(&asker)?;
    broker.change_users(&asker, UserChange::Remove(vec![name])).await.ok_or_else(Refusal::early)??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn remove_all(State(broker): Shared, request: Request) -> Told {
    let (asker, said) = sent(request).await?;
    demand_login(&asker)?;
    let names = said.get("users").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Option<Vec<_>> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    let names = names.ok_or_else(|| Refusal::unusable("users has to be a list of names"))?;
    if !names.is_empty() {
        broker.change_users(&asker, UserChange::Remove(names)).await.ok_or_else(Refusal::early)??;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn permissions(State(broker): Shared, request: Request) -> Told {
    Ok(document(&Value::from_iter(views(&*broker, Asker::of(&request)).await?.iter().map(show_permissions))))
}

async fn permissions_of_host(State(broker): Shared, Path(vhost): Path<String>, request: Request) -> Told {
    demand_host(&vhost)?;
    permissions(State(broker), request).await
}

async fn permissions_of_user(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    Ok(document(&json!([show_permissions(find(&views(&*broker, Asker::of(&request)).await?, &name)?)])))
}

async fn permission(State(broker): Shared, Path((vhost, name)): OfHost, request: Request) -> Told {
    demand_host(&vhost)?;
    Ok(document(&show_permissions(find(&views(&*broker, Asker::of(&request)).await?, &name)?)))
}

fn unchangeable() -> Refusal {
    Refusal::unusable("what users may do is written in the rules of the configuration")
}

/// What the user may do already can be permitted.
async fn permit(State(broker): Shared, Path((vhost, name)): OfHost, request: Request) -> Told {
    demand_host(&vhost)?;
    let (asker, said) = sent(request).await?;
    let users = views(&*broker, asker).await?;
    let shown = show_permissions(find(&users, &name)?);
    if ["configure", "write", "read"].iter().all(|action| said.get(*action) == shown.get(*action)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(unchangeable().into())
}

async fn forbid(Path((vhost, _)): OfHost) -> Told {
    demand_host(&vhost)?;
    Err(unchangeable().into())
}
