#!/bin/bash
# Check if CCProxy is running
STATUS=$(curl -s http://localhost:3456/status | jq -r '.status')
if [ "$STATUS" = "running" ]; then
  echo "✅ CCProxy is running"
else
  echo "❌ CCProxy is not running"
  exit 1
fi
