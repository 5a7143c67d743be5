CREATE TABLE "job_runs" (
	"id" uuid PRIMARY KEY DEFAULT uuid_v7() NOT NULL,
	"name" text NOT NULL,
	"parameters" jsonb NOT NULL,
	"parameters_digest" "bytea" NOT NULL,
	"status" text DEFAULT 'running' NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"result" jsonb,
	"failure" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	CONSTRAINT "job_runs_parameters" UNIQUE("name","parameters_digest"),
	CONSTRAINT "job_runs_status" CHECK (status in ('running', 'completed', 'failed'))
);
