//! Who ordered work that runs in the background, and what they may still do once it acts: a user may have been
//! deactivated meanwhile, an API key revoked. Has no table.

use engine::id;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::api_key::{self, Validity};
use crate::bulk_change::Reach;
use crate::operator;
use crate::user::{self, Role, User};

/// Who ordered work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orderer {
    /// A user.
    User(Uuid),
    /// A program, by its API key.
    Key(Uuid),
    /// An operator of the platform.
    Operator(Uuid),
}

impl Orderer {
    /// Reads an actor such as `user:usr_…`; `None` for one that logs in nowhere, such as `cli`.
    pub(crate) fn of(actor: &str) -> Option<Self> {
        let (kind, shown) = actor.split_once(':')?;
        match kind {
            "user" => id::read("usr", shown).ok().map(Self::User),
            "key" => id::read("key", shown).ok().map(Self::Key),
            "operator" => id::read("opr", shown).ok().map(Self::Operator),
            _other => None,
        }
    }
}

/// What an orderer reaches now; `None` is all of the customer's. An error in words if they may no longer do what takes the
/// role `least`, which ends the work.
///
/// # Errors
/// Returns what the statements returned.
pub(crate) async fn reach_now(
    tx: &mut PgConnection,
    customer_id: Uuid,
    orderer: Orderer,
    least: Role,
) -> Result<Result<Option<Reach>, String>, sqlx::Error> {
    match orderer {
        Orderer::User(user_id) => {
            Ok(reach_of(user::find(tx, customer_id, user_id).await?.as_ref(), least))
        }
        Orderer::Key(key_id) => Ok(match api_key::validity(tx, customer_id, key_id).await? {
            Some(Validity::Valid) => Ok(None),
            Some(Validity::Revoked) => Err("the API key that ordered it was revoked".into()),
            Some(Validity::Expired) => Err("the API key that ordered it has expired".into()),
            None => Err("the API key that ordered it no longer exists".into()),
        }),
        Orderer::Operator(operator_id) => Ok(match operator::is_active(tx, operator_id).await? {
            true => Ok(None),
            false => Err("the operator who ordered it is no longer active".into()),
        }),
    }
}

fn reach_of(user: Option<&User>, least: Role) -> Result<Option<Reach>, String> {
    let user = user.filter(|user| user.active);
    let user = user.ok_or("the user who ordered it is no longer active")?;
    match Role::read(&user.role) {
        // A higher rank is less.
        role if role > least => Err(format!(
            "the user who ordered it may no longer do this; their role is now `{}`",
            role.word()
        )),
        Role::Owner | Role::Admin => Ok(None),
        Role::Manager | Role::Rep | Role::Viewer => {
            Ok(Some(Reach { user_id: user.id, team_id: user.team_id }))
        }
    }
}

/// The role of a transaction before it acted for somebody.
pub(crate) struct RoleBefore(String);

/// Continues as the API's role does, under row-level security; returns the role before.
pub(crate) async fn act_as(
    tx: &mut PgConnection,
    customer_id: Uuid,
    reach: Option<&Reach>,
) -> Result<RoleBefore, sqlx::Error> {
    let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let role = sqlx::query_scalar!(r#"select current_setting('role') as "role!""#)
        .fetch_one(&mut *tx)
        .await?;
    sqlx::query!(
        "select set_config('role', 'salesos_api', true) as role, set_config('app.customer_id', $1, true) as customer,
           set_config('app.user_id', $2, true) as person, set_config('app.team_id', $3, true) as team",
        customer_id.to_string(),
        text(reach.map(|reach| reach.user_id)),
        text(reach.and_then(|reach| reach.team_id)),
    )
    .fetch_one(tx)
    .await?;
    Ok(RoleBefore(role))
}

/// Continues as before, for nobody in particular.
pub(crate) async fn act_as_before(
    tx: &mut PgConnection,
    RoleBefore(role): RoleBefore,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config('role', $1, true) as role, set_config('app.customer_id', '', true) as customer,
           set_config('app.user_id', '', true) as person, set_config('app.team_id', '', true) as team",
        role,
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn user(role: Role, active: bool) -> User {
        User {
            customer_id: Uuid::from_u128(1),
            id: Uuid::from_u128(2),
            email: "ann@acme.example".into(),
            name: "Ann".into(),
            role: role.word().into(),
            team_id: Some(Uuid::from_u128(3)),
            active,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_actor_names_who_ordered_work() {
        let some = Uuid::from_u128(7);
        let actor = |kind: &str, prefix| format!("{kind}:{}", id::show(prefix, some));
        assert_eq!(Orderer::of(&actor("user", "usr")), Some(Orderer::User(some)));
        assert_eq!(Orderer::of(&actor("key", "key")), Some(Orderer::Key(some)));
        assert_eq!(Orderer::of(&actor("operator", "opr")), Some(Orderer::Operator(some)));
        for other in ["cli", "import", "user:test", "worker:1", &actor("user", "key")] {
            assert_eq!(Orderer::of(other), None, "{other}");
        }
    }

    #[test]
    fn a_user_keeps_their_reach_as_long_as_their_role_is_enough() {
        for role in Role::ALL {
            for least in [Role::Admin, Role::Rep] {
                let reach = reach_of(Some(&user(role, true)), least);
                assert_eq!(reach.is_ok(), role <= least, "{role:?} {least:?}");
                let limited = matches!(reach, Ok(Some(_)));
                assert_eq!(
                    limited,
                    role <= least && matches!(role, Role::Manager | Role::Rep),
                    "{role:?} {least:?}"
                );
            }
            assert!(reach_of(Some(&user(role, false)), Role::Viewer).is_err(), "{role:?}");
        }
        assert!(reach_of(None, Role::Viewer).is_err());
    }
}
