//! What every HTTP service needs: the signed-in user, the error body, the configuration (feature `http`).
