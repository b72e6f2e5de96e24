//! Writing an import's rows, a chunk and a transaction at a time.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::opt_out::{self, OptOut};
use super::read::Taken;
use super::{Counts, ImportError, OnDuplicate, Options, Parsed, store};
use crate::contact::{self, Change, Changing, NewContact};
use crate::{account, address, custom_field};

/// What became of a step of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advanced {
    /// The contacts of the rows that were written, in the file's order.
    pub contact_ids: Vec<Uuid>,
    /// Whether chunks are left.
    pub is_left: bool,
}

/// Writes the next chunk in the caller's transaction; `None` where nothing is left, or no such import is.
///
/// # Errors
/// What the statements returned; the caller rolls back, and nothing of the chunk is written.
pub async fn advance(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Advanced>, sqlx::Error> {
    let import = sqlx::query!(
        "select on_duplicate, create_accounts from imports
         where customer_id = $1 and id = $2 and ended_at is null for update",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(import) = import else { return Ok(None) };
    let chunk = sqlx::query!(
        r#"delete from import_chunks where (customer_id, import_id, n) = (
             select customer_id, import_id, n from import_chunks where customer_id = $1 and import_id = $2
             order by n limit 1)
           returning contacts as "contacts: Json<Vec<Taken>>""#,
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let mut taken = chunk.map(|chunk| chunk.contacts.0).unwrap_or_default();
    for taken in &mut taken {
        // A file that an earlier version read holds addresses as they were typed.
        taken.contact.email = address::stored(&taken.contact.email);
    }
    let writing = Writing {
        customer_id,
        import_id: id,
        update: import.on_duplicate == OnDuplicate::Update.word(),
        create_accounts: import.create_accounts,
    };
    let (counts, contact_ids) = writing.write(&mut *tx, &taken).await?;
    let is_left = sqlx::query_scalar!(
        r#"select exists (select from import_chunks where customer_id = $1 and import_id = $2) as "left!""#,
        customer_id,
        id,
    )
    .fetch_one(&mut *tx)
    .await?;
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query!(
        "update imports set done = done + $3, created = created + $4, updated = updated + $5, skipped = skipped + $6,
           status = case when $7 then 'running' else 'done' end, updated_at = engine.now(),
           ended_at = case when not $7 then engine.now() end
         where customer_id = $1 and id = $2",
        customer_id,
        id,
        signed(taken.len() as u64),
        signed(counts.created),
        signed(counts.updated),
        signed(counts.skipped),
        is_left,
    )
    .execute(tx)
    .await?;
    Ok(Some(Advanced { contact_ids, is_left }))
}

/// How rows are written.
struct Writing {
    customer_id: Uuid,
    import_id: Uuid,
    update: bool,
    create_accounts: bool,
}

impl Writing {
    /// Makes the contacts that are not there, and changes the others where that is wanted.
    async fn write(
        &self,
        tx: &mut PgConnection,
        taken: &[Taken],
    ) -> Result<(Counts, Vec<Uuid>), sqlx::Error> {
        let Self { customer_id, import_id, update, create_accounts } = *self;
        let contacts: Vec<NewContact> = taken.iter().map(|taken| taken.contact.clone()).collect();
        let companies: Vec<&str> =
            contacts.iter().filter_map(|new| new.company.as_deref()).collect();
        let accounts = match create_accounts {
            true => account::named(&mut *tx, customer_id, &companies).await?,
            false => account::known(&mut *tx, customer_id, &companies).await?,
        };
        let batch =
            contact::insert_placed(&mut *tx, customer_id, contacts.clone(), &accounts, "import")
                .await?;
        let created: BTreeSet<Uuid> = batch.created.iter().copied().collect();
        let by_email = |new: &NewContact| batch.by_email.get(&new.email.to_lowercase()).copied();
        let there = contacts.iter().filter_map(|new| Some((by_email(new)?, new)));
        let there: Vec<(Uuid, &NewContact)> =
            there.filter(|(id, _)| !created.contains(id)).collect();
        let out: Vec<OptOut<'_>> = taken
            .iter()
            .filter_map(|taken| {
                let NewContact { email, .. } = &taken.contact;
                let contact_id = by_email(&taken.contact)?;
                Some(OptOut { contact_id, email, reason: taken.says? })
            })
            .collect();
        opt_out::end_runs(&mut *tx, customer_id, import_id, &out).await?;
        let mut counts = Counts { created: created.len() as u64, ..Counts::default() };
        if update {
            let changing = |(contact_id, new): &(Uuid, &NewContact)| Changing {
                customer_id,
                contact_id: *contact_id,
                change: change(new, create_accounts, &accounts),
            };
            let changing: Vec<Changing> = there.iter().map(changing).collect();
            contact::change(&mut *tx, &changing, "import").await?;
            counts.updated = there.len() as u64;
        } else {
            counts.skipped = there.len() as u64;
        }
        opt_out::obey(&mut *tx, customer_id, &out).await?;
        Ok((counts, contacts.iter().filter_map(by_email).collect()))
    }
}

/// What a row says of a contact that is there; what it leaves empty stays.
fn change(new: &NewContact, create_accounts: bool, accounts: &HashMap<String, Uuid>) -> Change {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let account = new.company.as_ref().and_then(|name| accounts.get(&name.trim().to_lowercase()));
    Change {
        first_name: some(&new.first_name),
        last_name: some(&new.last_name),
        phone: new.phone.clone(),
        title: new.title.clone(),
        linkedin_url: new.linkedin_url.clone(),
        country: new.country.clone(),
        region: new.region.clone(),
        city: new.city.clone(),
        time_zone: new.time_zone.clone(),
        locale: new.locale.clone(),
        add_tags: new.tags.clone(),
        custom: match &new.custom {
            Some(Value::Object(values)) => values.clone(),
            Some(_) | None => serde_json::Map::new(),
        },
        company: new.company.clone().filter(|_| create_accounts && account.is_none()),
        account_id: account.copied().map(Some),
        ..Change::default()
    }
}

/// What a whole import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whole {
    /// What was counted.
    pub counts: Counts,
    /// How the columns were read.
    pub columns: Vec<super::Column>,
    /// How many rows say that their person gets no mail.
    pub unsubscribed: u64,
    /// The refused rows.
    pub refused: Vec<super::RefusedRow>,
    /// The contacts of all rows that were taken, in the file's order.
    pub contact_ids: Vec<Uuid>,
}

/// Imports a file at once, a transaction per chunk: what was imported before an error stays, and the same file can be
/// imported again.
///
/// # Errors
/// As [`super::read`] before anything is written, or what a statement returned.
pub async fn whole(
    db: &mut PgConnection,
    customer_id: Uuid,
    options: &Options,
    bytes: &[u8],
) -> Result<Whole, ImportError> {
    let fields = custom_field::of(&mut *db, customer_id, custom_field::Entity::Contact).await?;
    let parsed: Parsed = super::read(bytes, &options.mapping, &fields)?;
    let mut tx = db.begin().await?;
    let id = store::store(&mut tx, customer_id, options, &parsed).await?;
    tx.commit().await?;
    let mut contact_ids = Vec::new();
    loop {
        let mut tx = db.begin().await?;
        let Some(advanced) = advance(&mut tx, customer_id, id).await? else { break };
        tx.commit().await?;
        contact_ids.extend(advanced.contact_ids);
        if !advanced.is_left {
            break;
        }
    }
    let found = store::find(db, customer_id, id).await?;
    let counts = found.map(|import| import.counts).unwrap_or_default();
    let Parsed { columns, unsubscribed, refused, .. } = parsed;
    Ok(Whole { counts, columns, unsubscribed, refused, contact_ids })
}
