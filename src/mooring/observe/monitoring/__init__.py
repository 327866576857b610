"""What watches the house: alert rules, scraping, notification and dashboards, all written from here."""
