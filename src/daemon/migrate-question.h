#pragma once
/*
 * daemon/migrate-question.h - one question of a source to a destination, about one guest
 */
#include "daemon/migrate.h"

/* The words that a question begins with: give it back unless it runs; it is yours, for here nobody has it any more. */
#define QUESTION_ASK  "drover-ask 1"
#define QUESTION_TAKE "drover-take 1"

typedef struct QuestionGuest {
        const Uuid *uuid;
        const char *nonce, *ask; /* ask: where, host:port; NULL: nowhere */
        QmpClient *held;         /* of the guest that is to stand still before anybody is asked; NULL: none */
} QuestionGuest;

typedef void QuestionDone(void *arg, MigrateFate fate, const Error *failure);

/*
 * Asks, with ten seconds of patience. *owner is the question until answered() comes, once and not from within, and NULL by
 * then.
 */
void question_new(Question **owner, Loop *loop, const char *kind, const QuestionGuest *about, QuestionDone *answered,
                  void *arg);
Question *question_free(Question *question); /* answered() does not come; returns NULL */
