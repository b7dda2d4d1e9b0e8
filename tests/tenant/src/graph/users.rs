//! Users, id translation, and revoking sign-ins.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::error::GraphError;
use crate::graph::{Answer, Ctx, input};
use crate::rights::Want;
use crate::store::ids::IdForm;
use crate::store::mailbox::Mailbox;

fn denied() -> GraphError {
    GraphError::new(
        StatusCode::FORBIDDEN,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

/// `GET /me` and `GET /users/{id}`
pub(crate) fn get(ctx: &Ctx<'_>) -> Answer {
    let own = [
        "User.Read",
        "User.ReadWrite",
        "User.ReadBasic.All",
        "User.Read.All",
        "User.ReadWrite.All",
        "Directory.Read.All",
    ];
    let is_own = ctx.caller.account == Some(ctx.account);
    let enough = if is_own { &own[..] } else { &own[2..] };
    if !enough.iter().any(|scope| ctx.caller.has_scope(scope)) {
        return Err(denied());
    }
    let world = ctx.state.world();
    let account = &world.accounts[ctx.account];
    let user = &account.user;
    let (given, surname) = user
        .display_name
        .split_once(' ')
        .unwrap_or((user.display_name.as_str(), ""));
    let mut out = Map::new();
    out.insert(
        "@odata.context".into(),
        format!("{}/v1.0/$metadata#users/$entity", ctx.call.base).into(),
    );
    let mut put = |name: &str, value: Value| {
        if ctx.query.select.is_none()
            || name == "id"
            || ctx.query.selects(&name.to_ascii_lowercase())
        {
            out.insert(name.to_owned(), value);
        }
    };
    put("businessPhones", json!([]));
    put("displayName", user.display_name.clone().into());
    put("givenName", given.into());
    put("jobTitle", Value::Null);
    put(
        "mail",
        account.mailbox.as_ref().map(|_| user.upn.clone()).into(),
    );
    put("mobilePhone", Value::Null);
    put("officeLocation", Value::Null);
    put("preferredLanguage", Value::Null);
    put("surname", surname.into());
    put("userPrincipalName", user.upn.clone().into());
    put("id", user.id.clone().into());
    if ctx.query.select.is_some() {
        put("accountEnabled", (!account.state.disabled).into());
        put("userType", "Member".into());
    }
    Ok(ctx.json(StatusCode::OK, &Value::Object(out)))
}

/// `POST /translateExchangeIds`: up to 1000 at a time (outlook-immutable-id.md).
pub(crate) fn translate_ids(ctx: &Ctx<'_>) -> Answer {
    let map = input::object(&ctx.call.body)?;
    let ids = input::member(&map, "inputIds")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if ids.is_empty() || ids.len() > 1000 {
        return Err(GraphError::bad_request(
            "ErrorInvalidRequest",
            "Between 1 and 1000 ids can be translated.",
        ));
    }
    let to = match input::member(&map, "targetIdType")
        .and_then(Value::as_str)
        .unwrap_or("")
    {
        kind if kind.eq_ignore_ascii_case("restImmutableEntryId") => IdForm::Immutable,
        kind if kind.eq_ignore_ascii_case("restId") => IdForm::Default,
        _ => {
            return Err(GraphError::bad_request(
                "ErrorInvalidRequest",
                "The targetIdType is not supported.",
            ));
        }
    };
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::ReadBasic)?;
    let value: Vec<Value> = ids
        .iter()
        .filter_map(Value::as_str)
        .map(|id| match translate(mailbox, id, to) {
            Some(target) => json!({"sourceId": id, "targetId": target}),
            None => json!({"sourceId": id, "errorDetails": {"code": "ErrorInvalidIdMalformed", "message": "Id is malformed."}}),
        })
        .collect();
    let context = format!(
        "{}/v1.0/$metadata#Collection(microsoft.graph.convertIdResult)",
        ctx.call.base
    );
    Ok(ctx.json(
        StatusCode::OK,
        &json!({"@odata.context": context, "value": value}),
    ))
}

fn translate(mailbox: &Mailbox, id: &str, to: IdForm) -> Option<String> {
    let item = mailbox.ids.parse_item(id)?;
    let message = mailbox.resolve(item)?;
    match item.attachment {
        None => Some(mailbox.message_id(message, to)),
        Some(number) => {
            let attachment = message
                .attachments
                .iter()
                .find(|one| one.number == number)?;
            Some(mailbox.attachment_id(message, attachment, to))
        }
    }
}

/// `POST /me/revokeSignInSessions`
pub(crate) fn revoke_sessions(ctx: &Ctx<'_>) -> Answer {
    if ctx.caller.account != Some(ctx.account) {
        return Err(denied());
    }
    let mut world = ctx.state.world();
    let stamp = world.directory.new_stamp();
    world.accounts[ctx.account].revoked_before = stamp;
    let context = format!("{}/v1.0/$metadata#Edm.Boolean", ctx.call.base);
    Ok(ctx.json(
        StatusCode::OK,
        &json!({"@odata.context": context, "value": true}),
    ))
}
