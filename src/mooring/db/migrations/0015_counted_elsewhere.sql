-- What those counted whom nobody can ask for it, a function or a command of cron: whoever serves takes it, once.
CREATE TABLE counted_elsewhere (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    left_at timestamptz NOT NULL,
    figures jsonb NOT NULL
);
