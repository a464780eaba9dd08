use common::Tx;
use common::columns::{number, text, value};
use common::events::{ChargeId, OrderId, PaymentId, RefundId};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row as _};

use super::moment;
use crate::gateway::Attempt;
use crate::order::{Order, OrderStatus};
use crate::payment::{Claim, Payment, PaymentState};

/// Whether a request may go to the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It may, and no other may until this one is settled.
    Ours(Payment),
    /// Another one is on its way.
    BeingCharged,
    /// The money was taken before.
    AlreadyPaid,
}

/// Lets one request for the order through to the gateway. The order's row must be locked.
pub(crate) async fn claim(
    tx: &mut Tx<'_>,
    order: &Order,
    deadline: Timestamp,
) -> Result<Claimed, sqlx::Error> {
    let Some(earlier) = of_order(tx, order.id).await? else {
        let payment = Payment {
            id: PaymentId::new(),
            order: order.id,
            amount: order.price,
            attempt: Attempt::FIRST,
            claim: Claim::FIRST,
            deadline,
            state: PaymentState::Charging,
        };
        insert(tx, &payment).await?;
        return Ok(Claimed::Ours(payment));
    };
    let attempt = match earlier.state {
        PaymentState::Declined => earlier.attempt.next(),
        PaymentState::Lapsed => earlier.attempt,
        PaymentState::Charging => return Ok(Claimed::BeingCharged),
        PaymentState::Charged(_) | PaymentState::RefundDue(_) | PaymentState::Refunded(_) => {
            return Ok(Claimed::AlreadyPaid);
        }
    };
    let payment = Payment {
        attempt,
        claim: earlier.claim.next(),
        deadline,
        state: PaymentState::Charging,
        ..earlier
    };
    let claimed = sqlx::query(
        "UPDATE payments SET status = $3, attempt = $4, claim = $5, deadline = $6, due_at = $6, looks = 0
         WHERE id = $1 AND claim = $2 AND status <> $3 AND charge_id IS NULL",
    )
    .bind(payment.id.to_string())
    .bind(earlier.claim.0)
    .bind(PaymentState::CHARGING)
    .bind(payment.attempt.to_sql())
    .bind(payment.claim.0)
    .bind(deadline.as_microsecond())
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(if claimed == 0 {
        Claimed::BeingCharged
    } else {
        Claimed::Ours(payment)
    })
}

/// What became of a charge that the gateway tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChargeRecorded {
    /// It is written down now.
    Now,
    /// It was written down before, by whoever else heard of it.
    Already,
    /// The order has another charge, or the gateway had declined this attempt before: it has
    /// broken its word, and somebody must look.
    Contradicted,
}

/// Writes down that the attempt of `payment` was charged, whatever was thought of it before: money is
/// the truth. The order's row must be locked, and `order` be its status.
pub(crate) async fn record_charge(
    tx: &mut Tx<'_>,
    payment: &Payment,
    charge: &ChargeId,
    order: OrderStatus,
    now: Timestamp,
) -> Result<ChargeRecorded, sqlx::Error> {
    let query = match order {
        OrderStatus::Open | OrderStatus::Complete => sqlx::query(
            "UPDATE payments SET charge_id = $3, status = $4, due_at = NULL, looks = 0
             WHERE id = $1 AND attempt = $2 AND charge_id IS NULL",
        )
        .bind(payment.id.to_string())
        .bind(payment.attempt.to_sql())
        .bind(charge.as_str())
        .bind(PaymentState::CHARGED),
        OrderStatus::Cancelled => sqlx::query(
            "UPDATE payments SET charge_id = $3, status = $4, due_at = $5, looks = 0
             WHERE id = $1 AND attempt = $2 AND charge_id IS NULL",
        )
        .bind(payment.id.to_string())
        .bind(payment.attempt.to_sql())
        .bind(charge.as_str())
        .bind(PaymentState::REFUND_DUE)
        .bind(now.as_microsecond()),
    };
    if query.execute(tx.connection()).await?.rows_affected() > 0 {
        return Ok(ChargeRecorded::Now);
    }
    let recorded = of_order(tx, payment.order)
        .await?
        .is_some_and(|payment| match payment.state {
            PaymentState::Charged(known)
            | PaymentState::RefundDue(known)
            | PaymentState::Refunded(known) => known == *charge,
            PaymentState::Charging | PaymentState::Declined | PaymentState::Lapsed => false,
        });
    Ok(if recorded {
        ChargeRecorded::Already
    } else {
        ChargeRecorded::Contradicted
    })
}

/// What became of the end of a claim that charged nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Now,
    /// The claim was settled before, by whoever else heard of it.
    Before,
}

/// Writes down that the gateway has declined the claim.
pub(crate) async fn record_decline(
    tx: &mut Tx<'_>,
    payment: &Payment,
) -> Result<Ended, sqlx::Error> {
    end_claim(tx, payment, PaymentState::DECLINED).await
}

/// Writes down that the claim's request was lost, and that no answer to it can come any more.
pub(crate) async fn record_lapse(tx: &mut Tx<'_>, payment: &Payment) -> Result<Ended, sqlx::Error> {
    end_claim(tx, payment, PaymentState::LAPSED).await
}

async fn end_claim(
    tx: &mut Tx<'_>,
    payment: &Payment,
    status: &'static str,
) -> Result<Ended, sqlx::Error> {
    let ended = sqlx::query(
        "UPDATE payments SET status = $4, due_at = NULL WHERE id = $1 AND claim = $2 AND status = $3",
    )
    .bind(payment.id.to_string())
    .bind(payment.claim.0)
    .bind(PaymentState::CHARGING)
    .bind(status)
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(if ended == 0 {
        Ended::Before
    } else {
        Ended::Now
    })
}

/// Whether money is to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refund {
    Due,
    /// Nothing was charged so far.
    NothingToRefund,
}

/// Makes the order's charge due to be given back. The order's row must be locked.
pub(crate) async fn make_refund_due(
    tx: &mut Tx<'_>,
    order: OrderId,
    now: Timestamp,
) -> Result<Refund, sqlx::Error> {
    let due = sqlx::query(
        "UPDATE payments SET status = $3, due_at = $4, looks = 0 WHERE order_id = $1 AND status = $2",
    )
    .bind(order.to_string())
    .bind(PaymentState::CHARGED)
    .bind(PaymentState::REFUND_DUE)
    .bind(now.as_microsecond())
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(if due == 0 {
        Refund::NothingToRefund
    } else {
        Refund::Due
    })
}

/// Whether a refund is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefundRecorded {
    Now,
    /// It was written down before, by whoever else asked for it.
    Already,
}

/// Writes down that the charge was given back.
pub(crate) async fn record_refund(
    tx: &mut Tx<'_>,
    payment: &Payment,
    refund: &RefundId,
) -> Result<RefundRecorded, sqlx::Error> {
    let recorded = sqlx::query(
        "UPDATE payments SET refund_id = $3, status = $4, due_at = NULL WHERE id = $1 AND status = $2",
    )
    .bind(payment.id.to_string())
    .bind(PaymentState::REFUND_DUE)
    .bind(refund.as_str())
    .bind(PaymentState::REFUNDED)
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(if recorded == 0 {
        RefundRecorded::Already
    } else {
        RefundRecorded::Now
    })
}

/// A payment that the worker has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) payment: Payment,
    pub(crate) since: Timestamp,
    /// How often it was looked at before.
    pub(crate) looks: u32,
}

/// The payments to look at now, the longest overdue first, `limit` at most.
pub(crate) async fn due(
    reader: &AnyPool,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query(
        "SELECT id, order_id, amount, status, attempt, claim, deadline, charge_id, due_at, looks
         FROM payments WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
    )
    .bind(now.as_microsecond())
    .bind(i64::from(limit))
    .fetch_all(reader)
    .await?
    .iter()
    .map(|row| {
        Ok(Due {
            payment: read(row)?,
            since: moment(row, "due_at")?,
            looks: number(row, "looks")?,
        })
    })
    .collect()
}

/// Who looks at a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Ours,
    /// Another replica was first, or there is nothing left to do.
    Gone,
}

/// Takes a payment to look at it, and puts the next look off until `next`, in case this one fails.
pub(crate) async fn take(
    tx: &mut Tx<'_>,
    due: &Due,
    next: Timestamp,
) -> Result<Taken, sqlx::Error> {
    let taken = sqlx::query(
        "UPDATE payments SET due_at = $4, looks = looks + 1 WHERE id = $1 AND claim = $2 AND due_at = $3",
    )
    .bind(due.payment.id.to_string())
    .bind(due.payment.claim.0)
    .bind(due.since.as_microsecond())
    .bind(next.as_microsecond())
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(if taken == 0 { Taken::Gone } else { Taken::Ours })
}

/// How many payments the worker has looked at `looks` times or more, and still has to.
pub(crate) async fn stuck(reader: &AnyPool, looks: u32) -> Result<u64, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS stuck FROM payments WHERE due_at IS NOT NULL AND looks >= $1",
    )
    .bind(i64::from(looks))
    .fetch_one(reader)
    .await?;
    number(&row, "stuck")
}

async fn of_order(tx: &mut Tx<'_>, order: OrderId) -> Result<Option<Payment>, sqlx::Error> {
    sqlx::query(
        "SELECT id, order_id, amount, status, attempt, claim, deadline, charge_id
         FROM payments WHERE order_id = $1",
    )
    .bind(order.to_string())
    .fetch_optional(tx.connection())
    .await?
    .as_ref()
    .map(read)
    .transpose()
}

async fn insert(tx: &mut Tx<'_>, payment: &Payment) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payments (id, order_id, amount, status, attempt, claim, deadline, due_at, looks)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 0)",
    )
    .bind(payment.id.to_string())
    .bind(payment.order.to_string())
    .bind(payment.amount.to_sql())
    .bind(PaymentState::CHARGING)
    .bind(payment.attempt.to_sql())
    .bind(payment.claim.0)
    .bind(payment.deadline.as_microsecond())
    .execute(tx.connection())
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Payment, sqlx::Error> {
    Ok(Payment {
        id: text(row, "id")?,
        order: text(row, "order_id")?,
        amount: number(row, "amount")?,
        attempt: number(row, "attempt")?,
        claim: Claim(row.try_get("claim")?),
        deadline: moment(row, "deadline")?,
        state: state(row)?,
    })
}

fn state(row: &AnyRow) -> Result<PaymentState, sqlx::Error> {
    let charge = value(row, "charge_id", |id: Option<&str>| {
        id.map(str::parse).transpose()
    })?;
    value(row, "status", |status: &str| {
        PaymentState::read(status, charge)
    })
}
