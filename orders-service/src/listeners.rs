//! What this service does when it hears of something, one file per event.

mod add_on_ticket_created;
mod cancel_on_expiration;
mod complete_on_payment;
mod confirm_on_ticket_updated;
mod record_on_refund;

pub(crate) use add_on_ticket_created::AddOnTicketCreated;
pub(crate) use cancel_on_expiration::CancelOnExpiration;
pub(crate) use complete_on_payment::CompleteOnPayment;
pub(crate) use confirm_on_ticket_updated::ConfirmOnTicketUpdated;
pub(crate) use record_on_refund::RecordOnRefund;

#[cfg(test)]
mod tests;
