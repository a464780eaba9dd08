use common::Tx;
use common::events::TicketId;
use sqlx::Row as _;

/// Notes what a ticket is called.
pub(crate) async fn name(tx: &mut Tx<'_>, id: TicketId, title: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO tickets (id, title) VALUES ($1, $2)
         ON CONFLICT (id) DO UPDATE SET title = excluded.title",
    )
    .bind(id.to_string())
    .bind(title)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What a ticket is called. `None`: nobody has told yet.
pub(crate) async fn title(tx: &mut Tx<'_>, id: TicketId) -> Result<Option<String>, sqlx::Error> {
    sqlx::query("SELECT title FROM tickets WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(tx.connection())
        .await?
        .map(|row| row.try_get("title"))
        .transpose()
}
