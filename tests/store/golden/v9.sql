-- A database of version 9; SERIAL is INTEGER in SQLite.
CREATE TABLE nas_comparisons (
  comparison VARCHAR(32) NOT NULL,
  strategy VARCHAR(32) NOT NULL,
  seed INTEGER NOT NULL,
  study VARCHAR(255) NOT NULL,
  label VARCHAR NOT NULL,
  trials INTEGER NOT NULL,
  counts JSON NOT NULL,
  trace JSON NOT NULL,
  seconds FLOAT NOT NULL,
  created VARCHAR(32) NOT NULL,
  PRIMARY KEY (comparison, strategy, seed)
);
CREATE TABLE nas_database (
  id VARCHAR(32) NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (id)
);
CREATE TABLE nas_studies (
  id SERIAL NOT NULL,
  name VARCHAR(255) NOT NULL,
  state VARCHAR(16) NOT NULL,
  reason VARCHAR NOT NULL,
  spec JSON NOT NULL,
  space JSON NOT NULL,
  task JSON NOT NULL,
  dataset VARCHAR(64) NOT NULL,
  latency JSON,
  start JSON NOT NULL,
  artifacts VARCHAR NOT NULL,
  target INTEGER,
  seconds FLOAT NOT NULL,
  accounted FLOAT DEFAULT '0' NOT NULL,
  next_ordinal INTEGER NOT NULL,
  next_seq INTEGER NOT NULL,
  created VARCHAR(32) NOT NULL,
  changed VARCHAR(32) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (name)
);
CREATE TABLE nas_confirmations (
  study_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  metrics JSON NOT NULL,
  test_metrics JSON,
  artifact VARCHAR(64),
  PRIMARY KEY (study_id, ordinal, seed),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
CREATE TABLE nas_evaluations (
  id SERIAL NOT NULL,
  study_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  cache_key VARCHAR(32) NOT NULL,
  metrics JSON NOT NULL,
  seconds FLOAT NOT NULL,
  artifact VARCHAR(64),
  notes JSON,
  PRIMARY KEY (id),
  CONSTRAINT nas_evaluations_rung UNIQUE (study_id, ordinal, epoch),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
CREATE INDEX nas_evaluations_cache ON nas_evaluations (cache_key);
CREATE TABLE nas_latencies (
  study_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  latency_ms FLOAT NOT NULL,
  timing JSON NOT NULL,
  measured VARCHAR(32) NOT NULL,
  PRIMARY KEY (study_id, ordinal),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
CREATE TABLE nas_runs (
  id VARCHAR(32) NOT NULL,
  study_id INTEGER NOT NULL,
  host VARCHAR(255) NOT NULL,
  pid INTEGER NOT NULL,
  beat FLOAT NOT NULL,
  ended BOOLEAN NOT NULL,
  step INTEGER DEFAULT '0' NOT NULL,
  PRIMARY KEY (id),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
CREATE INDEX nas_runs_study ON nas_runs (study_id);
CREATE TABLE nas_trials (
  study_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  state VARCHAR(16) NOT NULL,
  run_id VARCHAR(32),
  last_seq INTEGER NOT NULL,
  pending JSON NOT NULL,
  architecture JSON,
  key VARCHAR(32),
  inherit INTEGER,
  note JSON,
  seq INTEGER,
  cached BOOLEAN NOT NULL,
  metrics JSON NOT NULL,
  violation FLOAT NOT NULL,
  epochs INTEGER NOT NULL,
  seconds FLOAT NOT NULL,
  artifact VARCHAR(64),
  failure JSON,
  evaluated JSON,
  twin INTEGER,
  checkpoint JSON,
  deaths INTEGER DEFAULT '0' NOT NULL,
  inherit_by VARCHAR(255),
  prepared VARCHAR(64),
  PRIMARY KEY (study_id, ordinal),
  CONSTRAINT nas_trials_order UNIQUE (study_id, seq),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
CREATE INDEX nas_trials_state ON nas_trials (study_id, state);
CREATE TABLE nas_preparations (
  study_id INTEGER NOT NULL,
  key VARCHAR(32) NOT NULL,
  plugin JSON NOT NULL,
  epochs INTEGER NOT NULL,
  passes FLOAT NOT NULL,
  epoch INTEGER NOT NULL,
  artifact VARCHAR(64),
  seconds FLOAT NOT NULL,
  run_id VARCHAR(32),
  PRIMARY KEY (study_id, key),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
CREATE TABLE nas_preparation_epochs (
  study_id INTEGER NOT NULL,
  key VARCHAR(32) NOT NULL,
  epoch INTEGER NOT NULL,
  metrics JSON NOT NULL,
  distribution JSON NOT NULL,
  PRIMARY KEY (study_id, key, epoch),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
CREATE TABLE nas_bundles (
  study_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  digest VARCHAR(64) NOT NULL,
  formats JSON NOT NULL,
  created VARCHAR(32) NOT NULL,
  PRIMARY KEY (study_id, ordinal, digest),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
CREATE TABLE nas_rankings (
  study_id INTEGER NOT NULL,
  ranking JSON NOT NULL,
  measured VARCHAR(32) NOT NULL,
  PRIMARY KEY (study_id),
  FOREIGN KEY(study_id) REFERENCES nas_studies (id) ON DELETE CASCADE
);
INSERT INTO nas_database VALUES ('0123456789abcdef0123456789abcdef', 9);
INSERT INTO nas_studies (name, state, reason, spec, space, task, dataset, start, artifacts, target, seconds, next_ordinal, next_seq, created, changed) VALUES
  ('old', 'stopped', 'interrupted', '{"study": {"name": "old", "objectives": [["val_accuracy", "maximize"]]}, "budget": {"trials": 3}}', '{"name": "gnn"}', '{"kind": "node"}', 'd0', '[]', '', 3, 12.5, 3, 2, '2025-01-01T00:00:00+00:00', '2025-01-01T00:01:00+00:00');
UPDATE nas_studies SET latency = '{"device": "box", "profile": "p0"}';
INSERT INTO nas_trials (study_id, ordinal, state, run_id, last_seq, pending, architecture, key, inherit, seq, cached, metrics, violation, epochs, seconds, artifact, failure, note, evaluated) VALUES
  (1, 0, 'complete', 'r0', -1, '[]', '{"space": "gnn", "choices": {"depth": 2}}', 'k0', NULL, 0, FALSE, '{"val_accuracy": 0.75}', 0.0, 10, 4.25, 'a0', NULL, '{"phase": "random"}', NULL),
  (1, 1, 'failed', 'r0', -1, '[0]', '{"space": "gnn", "choices": {"depth": 2}}', 'k1', 0, 1, FALSE, '{}', 0.0, 0, 1.5, NULL, '{"kind": "diverged", "message": "NaN"}', NULL, '{"path": "stock"}'),
  (1, 2, 'waiting', NULL, 1, '[]', NULL, NULL, NULL, NULL, FALSE, '{}', 0.0, 0, 0.0, NULL, NULL, NULL, NULL);
INSERT INTO nas_evaluations (study_id, ordinal, epoch, cache_key, metrics, seconds, artifact, notes) VALUES
  (1, 0, 5, 'c0', '{"val_accuracy": 0.5}', 2.0, 'a1', '{"path": "engine"}'),
  (1, 0, 10, 'c0', '{"val_accuracy": 0.75}', 4.25, 'a0', '{"path": "engine"}');
INSERT INTO nas_runs (id, study_id, host, pid, beat, ended) VALUES ('r0', 1, 'host', 17, 1700000000.5, TRUE);
INSERT INTO nas_confirmations (study_id, ordinal, seed, metrics, test_metrics, artifact) VALUES (1, 0, 100, '{"val_accuracy": 0.7}', '{"test_accuracy": 0.65}', NULL);
INSERT INTO nas_comparisons (comparison, strategy, seed, study, label, trials, counts, trace, seconds, created) VALUES ('cc', 'ss', 0, 'old', 'random', 2, '{"complete": 2}', '[]', 1.0, '2025-01-01T00:00:00+00:00');
INSERT INTO nas_latencies (study_id, ordinal, latency_ms, timing, measured) VALUES (1, 0, 1.25, '{"wall_ms": 1.25}', '2025-01-01T00:02:00+00:00');
UPDATE nas_trials SET inherit_by = 'alike', prepared = 'p1' WHERE ordinal = 1;
INSERT INTO nas_preparations (study_id, key, plugin, epochs, passes, epoch, artifact, seconds, run_id) VALUES (1, 'k', '{"name": "short", "options": {}}', 2, 20.0, 1, 'p1', 0.5, NULL);
INSERT INTO nas_preparation_epochs (study_id, key, epoch, metrics, distribution) VALUES (1, 'k', 1, '{"loss": 0.5}', '{}');
INSERT INTO nas_bundles (study_id, ordinal, digest, formats, created) VALUES (1, 0, 'd0', '["pt2"]', '2025-01-01T00:04:00+00:00');
INSERT INTO nas_rankings (study_id, ranking, measured) VALUES (1, '{"is_enough": true}', '2025-01-01T00:03:00+00:00');
CREATE TABLE nas_alembic_version (
  version_num VARCHAR(32) NOT NULL,
  CONSTRAINT nas_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO nas_alembic_version VALUES ('9');
