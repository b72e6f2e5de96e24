//! Tasks: to-dos for people. Owns `tasks`.

use chrono::{DateTime, Utc};
use engine::outbox::{self, NewEvent};
use engine::signal::{self, NewSignal, Target};
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, PgExecutor, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::activity::About;
use crate::event::task as event;
use crate::filter::After;

/// How pressing a to-do is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TaskPriority)]
pub enum Priority {
    /// It can wait.
    Low,
    /// As most.
    #[default]
    Normal,
    /// Before others.
    High,
}

/// How far a task may be.
pub const STATUSES: &[&str] = &["open", "done"];

impl Priority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// A to-do to write.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Whose it is.
    pub customer_id: Uuid,
    /// With whom, at which company, in which deal.
    pub about: About,
    /// For which enrollment, where for one.
    pub enrollment_id: Option<Uuid>,
    /// `call`, `linkedin`, or what the workflow calls it.
    pub kind: String,
    /// What to do.
    pub title: String,
    /// More.
    pub body: Option<String>,
    /// Until when.
    pub due_at: Option<DateTime<Utc>>,
    /// Who does it; the contact's owner where nobody is named.
    pub assignee_id: Option<Uuid>,
    /// How pressing it is.
    pub priority: Priority,
    /// Who wants it.
    pub actor: String,
    /// What caused it; the same cause writes it once.
    pub source: String,
}

/// A to-do.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Task {
    /// Its id (`tsk_…`).
    pub id: Uuid,
    /// With whom.
    pub contact_id: Option<Uuid>,
    /// At which company.
    pub account_id: Option<Uuid>,
    /// In which deal.
    pub opportunity_id: Option<Uuid>,
    /// For which enrollment.
    pub enrollment_id: Option<Uuid>,
    /// See [`NewTask`].
    pub kind: String,
    /// What to do.
    pub title: String,
    /// More.
    pub body: Option<String>,
    /// Until when.
    pub due_at: Option<DateTime<Utc>>,
    /// Who does it.
    pub assignee_id: Option<Uuid>,
    /// The priority's stored word.
    pub priority: String,
    /// `open` or `done`.
    pub status: String,
    /// How it went.
    pub outcome: Option<String>,
    /// Who wanted it.
    pub actor: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
}

/// Writes to-dos, each with the event `task.created`; one whose cause wrote one already stays as it is. Gives the ids
/// that are new.
///
/// # Errors
/// What the statements returned.
pub async fn create(tx: &mut PgConnection, tasks: &[NewTask]) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut events = Vec::new();
    for new in tasks {
        let made = sqlx::query_scalar!(
            "insert into tasks (customer_id, id, contact_id, account_id, opportunity_id, enrollment_id, kind, title, body,
               due_at, assignee_id, priority, actor, source, event_sequence)
             values ($1, $2, $3, coalesce($4, (select account_id from contacts where customer_id = $1 and id = $3)), $5,
               (select id from enrollments where customer_id = $1 and id = $6), $7, $8, $9, $10,
               coalesce($11, (select owner_id from contacts where customer_id = $1 and id = $3)), $12, $13, $14, 1)
             on conflict (customer_id, source) do nothing returning id",
            new.customer_id,
            clock::new_id(),
            new.about.contact_id,
            new.about.account_id,
            new.about.opportunity_id,
            new.enrollment_id,
            new.kind,
            new.title,
            new.body,
            new.due_at,
            new.assignee_id,
            new.priority.word(),
            new.actor,
            new.source,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(task_id) = made else { continue };
        events.push(created(new, task_id));
    }
    outbox::publish(tx, &events).await?;
    let made = events.iter().filter_map(|event| id::read("tsk", &event.key).ok());
    Ok(made.collect())
}

fn created(new: &NewTask, task_id: Uuid) -> NewEvent {
    let told = event::Created {
        task_id: id::show("tsk", task_id),
        about: event::About::of(&new.about),
        title: new.title.clone(),
        key: new.source.clone(),
    };
    event::CREATED.event(new.customer_id, told.task_id.clone(), 1, &told)
}

/// A to-do by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Task>, sqlx::Error> {
    sqlx::query_as!(
        Task,
        "select id, contact_id, account_id, opportunity_id, enrollment_id, kind, title, body, due_at, assignee_id,
           priority, status, outcome, actor, created_at, updated_at, completed_at
         from tasks where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A to-do by id, locked against other changes.
///
/// # Errors
/// What the statements returned.
pub async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Task>, sqlx::Error> {
    sqlx::query!(
        "select from tasks where customer_id = $1 and id = $2 for update",
        customer_id,
        id
    )
    .fetch_optional(&mut *tx)
    .await?;
    find(tx, customer_id, id).await
}

/// Writes what may change of a to-do that [`lock`] gave: title, body, due, assignee, priority.
///
/// # Errors
/// What the statement returned.
pub async fn change(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    task: &Task,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tasks set title = $3, body = $4, due_at = $5, assignee_id = $6, priority = $7, updated_at = engine.now()
         where customer_id = $1 and id = $2",
        customer_id,
        task.id,
        task.title,
        task.body,
        task.due_at,
        task.assignee_id,
        task.priority,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which to-dos to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// With whom, at which company, in which deal; all where nothing is named.
    pub about: About,
    /// Of this user.
    pub assignee_id: Option<Uuid>,
    /// `open` or `done`; open where nothing stands.
    pub status: Option<String>,
    /// Due before this instant.
    pub due_before: Option<DateTime<Utc>>,
}

/// To-dos in the order in which they are due, those without a day last, each with where a page after it begins; at most
/// `limit` (bounded to 200).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: &mut PgConnection,
    customer_id: Uuid,
    filter: &Filter,
    after: Option<&After>,
    limit: u32,
) -> Result<Vec<(Task, After)>, sqlx::Error> {
    #[derive(sqlx::FromRow)]
    struct Listed {
        #[sqlx(flatten)]
        task: Task,
        sort_key: String,
    }
    let mut sql = QueryBuilder::new(
        "select id, contact_id, account_id, opportunity_id, enrollment_id, kind, title, body, due_at, assignee_id,
           priority, status, outcome, actor, created_at, updated_at, completed_at,
           coalesce(due_at, 'infinity')::text as sort_key
         from tasks where customer_id = ",
    );
    sql.push_bind(customer_id);
    let status = filter.status.as_deref().unwrap_or("open");
    // The word itself, so that the index of what is open can be read.
    sql.push(if status == "done" { " and status = 'done'" } else { " and status = 'open'" });
    let About { contact_id, account_id, opportunity_id } = filter.about;
    for (column, id) in [
        ("contact_id", contact_id),
        ("account_id", account_id),
        ("opportunity_id", opportunity_id),
        ("assignee_id", filter.assignee_id),
    ] {
        if let Some(id) = id {
            sql.push(format!(" and {column} = ")).push_bind(id);
        }
    }
    // The account's own tasks: its contacts may be in reach where the account is not.
    if let Some(id) = account_id {
        sql.push(" and crm.reaches_about(").push_bind(customer_id);
        sql.push(", null, ").push_bind(id).push(", null)");
    }
    if let Some(due_before) = filter.due_before {
        sql.push(" and coalesce(due_at, 'infinity') < ").push_bind(due_before);
    }
    if let Some(After { key, id }) = after {
        sql.push(" and (coalesce(due_at, 'infinity'), id) > (").push_bind(key.clone());
        sql.push("::text::timestamptz, ").push_bind(*id).push(")");
    }
    sql.push(" order by coalesce(due_at, 'infinity'), id limit ");
    sql.push_bind(i64::from(limit.min(200)));
    let found: Vec<Listed> = sql.build_query_as().fetch_all(db).await?;
    let with_after = |Listed { task, sort_key }| {
        let after = After { key: sort_key, id: task.id };
        (task, after)
    };
    Ok(found.into_iter().map(with_after).collect())
}

/// What became of the wish to finish a to-do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It is done.
    Now,
    /// It was done already; its first outcome stays.
    Before,
    /// The customer has no such to-do.
    NotFound,
}

/// The signal, and the event, that tells of a finished to-do. The signal's `key` is the to-do's source, by
/// which a run waits for its own.
pub const COMPLETED: &str = event::COMPLETED.name();

/// Finishes a to-do: `task.completed` goes out, and to the contact's runs.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn complete(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
    outcome: Option<&str>,
    actor: &str,
) -> Result<Completion, sqlx::Error> {
    let done = sqlx::query!(
        "update tasks set status = 'done', outcome = $3, completed_at = engine.now(), updated_at = engine.now(),
           event_sequence = event_sequence + 1
         where customer_id = $1 and id = $2 and status = 'open'
         returning contact_id, account_id, opportunity_id, enrollment_id, title, source, event_sequence",
        customer_id,
        id,
        outcome,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(done) = done else { return missing(tx, customer_id, id).await };
    let task = id::show("tsk", id);
    let about = About {
        contact_id: done.contact_id,
        account_id: done.account_id,
        opportunity_id: done.opportunity_id,
    };
    let told = event::Completed {
        task_id: task.clone(),
        about: event::About::of(&about),
        enrollment_id: done.enrollment_id.map(|enrollment| id::show("enr", enrollment)),
        title: done.title,
        outcome: outcome.map(str::to_owned),
        actor: actor.to_owned(),
    };
    let event = event::COMPLETED.event(customer_id, task.clone(), done.event_sequence, &told);
    outbox::publish(tx, &[event]).await?;
    let Some(contact_id) = done.contact_id else { return Ok(Completion::Now) };
    let signal = NewSignal {
        customer_id,
        target: Target::Subject(contact_id),
        name: COMPLETED.into(),
        key: task,
        data: json!({ "key": done.source, "outcome": outcome }),
    };
    signal::send(tx, &[signal]).await?;
    Ok(Completion::Now)
}

/// Why nothing was open under this id.
async fn missing(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Completion, sqlx::Error> {
    let there = sqlx::query_scalar!(
        r#"select exists (select from tasks where customer_id = $1 and id = $2) as "there!""#,
        customer_id,
        id,
    )
    .fetch_one(tx)
    .await?;
    Ok(if there { Completion::Before } else { Completion::NotFound })
}

/// Takes the words out of contacts' tasks, of which none is open afterwards; gives how many.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erase(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<(&'static str, i64), sqlx::Error> {
    let erased = sqlx::query_scalar!(
        r#"with task as (
             update tasks set title = 'Erased', body = null, outcome = null, updated_at = engine.now(),
               status = 'done', completed_at = coalesce(completed_at, engine.now())
             where customer_id = $1 and contact_id = any($2) returning id
           )
           select count(*) as "count!" from task"#,
        customer_id,
        contacts,
    )
    .fetch_one(db)
    .await?;
    Ok(("tasks", erased))
}
